/* SPDX-License-Identifier: MIT */
/* The report is a table of lines in printing order. */
#include "report.h"

#include "aio/taio.h"
#include "run.h"
#include "sock.h"
#include "tls/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int try_file(const char *option, const char *file, char *why)
{
	int fd;

	if (!file || !strcmp(file, "-"))
		return 0;
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0) {
		snprintf(why, WHY_LEN, "%s %.200s: %s", option, file, strerror(errno));
		return -errno;
	}
	close(fd);
	return 0;
}

int report_open(struct run *run, char *why)
{
	const struct settings *set = run->set;
	int err;

	run->report.shows_progress = isatty(STDERR_FILENO);
	err = try_file("--json", set->json, why);
	if (!err)
		err = try_file("--hgrm", set->hgrm, why);
	if (!err)
		err = try_file("--csv", set->csv, why);
	if (err || !set->csv)
		return err;
	run->report.csv = fopen(set->csv, "we");
	if (!run->report.csv) {
		snprintf(why, WHY_LEN, "--csv %.200s: %s", set->csv, strerror(errno));
		return -errno;
	}
	fprintf(run->report.csv, "elapsed_s,requests_per_second,errors,p50_us,p99_us,max_us,connections\n");
	return 0;
}

void report_close(struct run *run)
{
	if (run->report.csv)
		fclose(run->report.csv);
	run->report.csv = NULL;
}

void report_start(struct run *run)
{
	run->report.next_ns = run->report.shows_progress ? run->net.now_ns + NS_PER_SEC : NEVER_NS;
}

void report_measure(struct run *run)
{
	run->report.next_ns = run->net.now_ns + NS_PER_SEC;
	run->report.responses = run->stats.responses;
	run->report.errors = stats_errors(&run->stats);
}

double report_seconds(const struct run *run)
{
	return (double)(run->end_ns - run->start_ns) / NS_PER_SEC;
}

static double us_of(const struct hist *hist, double percent)
{
	return (double)hist_percentile(hist, percent) / NS_PER_US;
}

static void write_csv_row(struct run *run, double elapsed, double rate)
{
	const struct hist *second = &run->stats.second;

	fprintf(run->report.csv, "%.3f,%.1f,%llu,%.3f,%.3f,%.3f,%u\n", elapsed, rate,
		(unsigned long long)(stats_errors(&run->stats) - run->report.errors), us_of(second, 50),
		us_of(second, 99), us_of(second, 100), run->net.live - run->net.opening);
	fflush(run->report.csv);
}

static void show_progress(const struct run *run, double rate)
{
	static const char *const names[PHASES] = {
		[PHASE_RAMP] = "connecting", [PHASE_WARMUP] = "warm-up", [PHASE_MEASURE] = "measuring",
		[PHASE_DRAIN] = "draining",  [PHASE_CLOSE] = "closing",
	};

	fprintf(stderr, "\r\033[K%-10s %u open, %.0f requests/s, p99 %.0f us, %llu errors",
		names[run->phase] ? names[run->phase] : "", run->net.live - run->net.opening, rate,
		us_of(&run->stats.second, 99), (unsigned long long)stats_errors(&run->stats));
}

/* The current second is over, or was cut short by the end of the run. */
static void end_second(struct run *run, uint64_t began_ns)
{
	double took = (double)(run->net.now_ns - began_ns) / NS_PER_SEC;
	double rate = took > 0 ? (double)(run->stats.responses - run->report.responses) / took : 0;

	if (run->report.shows_progress)
		show_progress(run, rate);
	if (run->report.csv && run->phase >= PHASE_MEASURE && run->phase <= PHASE_COUNT)
		write_csv_row(run, (double)(run->net.now_ns - run->start_ns) / NS_PER_SEC, rate);
	if (run->phase >= PHASE_MEASURE) {
		hist_merge(&run->stats.latency, &run->stats.second);
		hist_reset(&run->stats.second);
	}
	run->report.responses = run->stats.responses;
	run->report.errors = stats_errors(&run->stats);
}

void report_tick(struct run *run)
{
	if (run->net.now_ns < run->report.next_ns)
		return;
	end_second(run, run->report.next_ns - NS_PER_SEC);
	run->report.next_ns = run->net.now_ns + NS_PER_SEC;
}

void report_count(struct run *run)
{
	if (run->stats.second.count || run->stats.responses > run->report.responses)
		end_second(run, run->report.next_ns - NS_PER_SEC);
}

void report_end(struct run *run)
{
	if (run->report.shows_progress)
		fprintf(stderr, "\r\033[K");
}

bool report_is_valid(const struct run *run)
{
	return hist_percentile(&run->stats.lag, 99) <= run->set->max_lag_us * NS_PER_US;
}

/* Formats a time in a readable unit. */
static const char *time_text(char *text, size_t len, uint64_t ns)
{
	if (ns < 1000 * NS_PER_US)
		snprintf(text, len, "%.1f us", (double)ns / NS_PER_US);
	else if (ns < 10 * NS_PER_SEC)
		snprintf(text, len, "%.2f ms", (double)ns / NS_PER_MS);
	else
		snprintf(text, len, "%.2f s", (double)ns / NS_PER_SEC);
	return text;
}

static void print_label(FILE *to, const char *label)
{
	fprintf(to, "  %-14s ", label);
}

static void print_hist(const struct hist *hist, FILE *to)
{
	static const struct {
		const char *name;
		double percent;
	} columns[] = {{"p50", 50},	{"p90", 90},	   {"p99", 99},
		       {"p99.9", 99.9}, {"p99.99", 99.99}, {"max", 100}};
	char text[40];

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		fprintf(to, "%s%s %s", i ? ", " : "", columns[i].name,
			time_text(text, sizeof(text), hist_percentile(hist, columns[i].percent)));
}

static void print_requests(const struct run *run, FILE *to)
{
	double took = report_seconds(run);

	fprintf(to, "%llu in %.2f s, %.1f/s", (unsigned long long)run->stats.requests, took,
		took > 0 ? (double)run->stats.responses / took : 0);
}

static void print_connections(const struct run *run, FILE *to)
{
	const struct stats *stats = &run->stats;

	fprintf(to, "attempted %llu, established %llu, completed %llu", (unsigned long long)stats->attempted,
		(unsigned long long)stats->established, (unsigned long long)stats->completed);
}

static void print_reconnects(const struct run *run, FILE *to)
{
	fprintf(to, "%llu, %llu failed", (unsigned long long)run->stats.reconnects,
		(unsigned long long)run->stats.reconnect_failures);
}

static void print_closed(const struct run *run, FILE *to)
{
	fprintf(to, "%llu by the server, %llu early", (unsigned long long)run->stats.closed,
		(unsigned long long)run->stats.early);
}

static void print_inferred(const struct run *run, FILE *to)
{
	fprintf(to, "%.0f ms, inferred from the earliest close", (double)run->stats.inferred_ns / NS_PER_MS);
}

static void print_cpu(const struct run *run, FILE *to)
{
	double responses = (double)run->stats.responses;

	if (run->has_server_cpu)
		fprintf(to, "server %.2f us, ", (double)run->server_cpu_ns / NS_PER_US / responses);
	fprintf(to, "load generator %.2f us", (double)run->client_cpu_ns / NS_PER_US / responses);
}

static bool counts_requests(const struct run *run)
{
	return run->net.proto || !run->mode->ramps;
}

static bool is_open_loop(const struct run *run)
{
	return run->rate;
}

static bool is_closed_loop(const struct run *run)
{
	return !run->rate;
}

static bool holds(const struct run *run)
{
	return run->mode->holds;
}

static bool has_reconnects(const struct run *run)
{
	return run->stats.reconnects || run->stats.reconnect_failures;
}

static bool has_inferred(const struct run *run)
{
	return run->stats.inferred_ns;
}

static bool has_responses(const struct run *run)
{
	return run->stats.responses;
}

/* A line of the report: the output of print(), or a histogram, omitted if empty. */
struct line {
	const char *label; /* NULL: the mode's unit */
	size_t hist;	   /* offset in struct run, where print is NULL */
	void (*print)(const struct run *run, FILE *to);
	bool (*is_shown)(const struct run *run); /* NULL: always */
};

// clang-format off
#define HIST(name) .hist = offsetof(struct run, stats.name)
static const struct line lines[] = {
	{ .print = print_requests, .is_shown = counts_requests },
	{ .label = "from planned", HIST(latency), .is_shown = is_open_loop },
	{ .label = "latency", HIST(latency), .is_shown = is_closed_loop },
	{ .label = "from sending", HIST(raw) },
	{ .label = "own send lag", HIST(lag) },
	{ .label = "connections", .print = print_connections },
	{ .label = "reconnects", .print = print_reconnects, .is_shown = has_reconnects },
	{ .label = "connect", HIST(connect) },
	{ .label = "TLS full", HIST(tls_full) },
	{ .label = "TLS resumed", HIST(tls_resumed) },
	{ .label = "closed", .print = print_closed, .is_shown = holds },
	{ .label = "age at close", HIST(age) },
	{ .label = "deadline", .print = print_inferred, .is_shown = has_inferred },
	{ .label = "lateness", HIST(lateness) },
	{ .label = "CPU/request", .print = print_cpu, .is_shown = has_responses },
};
#undef HIST
// clang-format on

static void print_line(const struct run *run, const struct line *line, FILE *to)
{
	const struct hist *hist = (const struct hist *)((const char *)run + line->hist);

	if ((line->is_shown && !line->is_shown(run)) || (!line->print && !hist->count))
		return;
	print_label(to, line->label ? line->label : run->mode->unit);
	if (line->print)
		line->print(run, to);
	else
		print_hist(hist, to);
	fputc('\n', to);
}

static void print_errors(const struct run *run, FILE *to)
{
	const struct error_row *row;

	for (int kind = 0; kind < ERROR_KINDS; kind++) {
		if (!run->stats.errors[kind])
			continue;
		row = &error_rows[kind];
		print_label(to, "errors");
		fprintf(to, "%llu %s", (unsigned long long)run->stats.errors[kind], row->text);
		if (row->hint)
			fprintf(to, " (%s)", row->hint);
		fputc('\n', to);
	}
}

void report_print(const struct run *run, FILE *to)
{
	const struct tls_info *tls = run->net.sock->info(&run->net);

	fprintf(to, "%s %s, %u connections, %s%s%s, engine %s, %s loop\n", run->mode->command.name,
		run->net.target.text, run->nconns, run->net.sock->name, tls ? " " : "",
		tls ? tls->version : "", taio_name(run->net.ops.ring), run->rate ? "open" : "closed");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		print_line(run, &lines[i], to);
	print_errors(run, to);
	if (!report_is_valid(run))
		fprintf(to,
			"  INVALID: the load generator fell behind its own schedule; the latencies describe "
			"it, not the server\n");
	if (run->is_interrupted)
		fprintf(to, "  interrupted\n");
}

bool report_failure(const struct run *run, char *why)
{
	const struct stats *stats = &run->stats;
	uint64_t missing = stats->attempted - stats->established, errors = stats_errors(stats);
	char text[40];

	if (missing && !run->is_interrupted) {
		snprintf(why, WHY_LEN, "%llu of %llu connections were not established (%s)",
			 (unsigned long long)missing, (unsigned long long)stats->attempted,
			 stats->first_error);
	} else if (run->is_gone) {
		snprintf(why, WHY_LEN,
			 "the server is gone: no connection could be reopened for %s; %llu error%s: %s",
			 time_text(text, sizeof(text), run->set->timeout_us * NS_PER_US),
			 (unsigned long long)errors, errors > 1 ? "s; the first" : "", stats->first_error);
	} else if (errors) {
		snprintf(why, WHY_LEN, "%llu error%s: %s", (unsigned long long)errors,
			 errors > 1 ? "s; the first" : "", stats->first_error);
	} else if (!report_is_valid(run)) {
		snprintf(why, WHY_LEN,
			 "invalid: 1%% of the requests were sent %s or more behind schedule (--max-lag)",
			 time_text(text, sizeof(text), hist_percentile(&stats->lag, 99)));
	} else {
		return false;
	}
	return true;
}
