/* SPDX-License-Identifier: MIT */
/* Progress, the time series, the report for the eye and the verdict. Loop thread only. */
#include "report.h"

#include "run.h"

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
		snprintf(why, RUN_WHY_LEN, "%s %.200s: %s", option, file, strerror(errno));
		return -errno;
	}
	close(fd);
	return 0;
}

int report_open(struct run *run, char *why)
{
	const struct settings *set = run->set;
	int err;

	run->progress = isatty(STDERR_FILENO);
	err = try_file("--json", set->json, why);
	if (!err)
		err = try_file("--hgrm", set->hgrm, why);
	if (!err)
		err = try_file("--csv", set->csv, why);
	if (err || !set->csv)
		return err;
	run->csv = fopen(set->csv, "we");
	if (!run->csv) {
		snprintf(why, RUN_WHY_LEN, "--csv %.200s: %s", set->csv, strerror(errno));
		return -errno;
	}
	fprintf(run->csv, "elapsed_s,requests_per_second,errors,p50_us,p99_us,max_us,connections\n");
	return 0;
}

void report_close(struct run *run)
{
	if (run->csv)
		fclose(run->csv);
	run->csv = NULL;
}

void report_start(struct run *run)
{
	run->tick_ns = run->progress ? run->now_ns + NS_PER_SEC : NEVER_NS;
}

void report_measure(struct run *run)
{
	run->tick_ns = run->now_ns + NS_PER_SEC;
	run->tick_answered = run->stats.answered;
	run->tick_errors = stats_errors(&run->stats);
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

	fprintf(run->csv, "%.3f,%.1f,%llu,%.3f,%.3f,%.3f,%u\n", elapsed, rate,
		(unsigned long long)(stats_errors(&run->stats) - run->tick_errors), us_of(second, 50),
		us_of(second, 99), us_of(second, 100), run->live - run->opening);
	fflush(run->csv);
}

static void show_progress(const struct run *run, double rate)
{
	static const char *const names[PHASES] = {
		[PHASE_RAMP] = "connecting", [PHASE_WARMUP] = "warm-up", [PHASE_MEASURE] = "measuring",
		[PHASE_DRAIN] = "draining",  [PHASE_CLOSE] = "closing",
	};

	fprintf(stderr, "\r\033[K%-10s %u open, %.0f requests/s, p99 %.0f us, %llu errors",
		names[run->phase] ? names[run->phase] : "", run->live - run->opening, rate,
		us_of(&run->stats.second, 99), (unsigned long long)stats_errors(&run->stats));
}

/* The running second is over (or cut short by the end of the run). */
static void end_second(struct run *run, uint64_t began_ns)
{
	double took = (double)(run->now_ns - began_ns) / NS_PER_SEC;
	double rate = took > 0 ? (double)(run->stats.answered - run->tick_answered) / took : 0;

	if (run->progress)
		show_progress(run, rate);
	if (run->csv && run->phase >= PHASE_MEASURE && run->phase <= PHASE_COUNT)
		write_csv_row(run, (double)(run->now_ns - run->start_ns) / NS_PER_SEC, rate);
	if (run->phase >= PHASE_MEASURE) {
		hist_merge(&run->stats.latency, &run->stats.second);
		hist_reset(&run->stats.second);
	}
	run->tick_answered = run->stats.answered;
	run->tick_errors = stats_errors(&run->stats);
}

void report_tick(struct run *run)
{
	if (run->now_ns < run->tick_ns)
		return;
	end_second(run, run->tick_ns - NS_PER_SEC);
	run->tick_ns = run->now_ns + NS_PER_SEC;
}

void report_count(struct run *run)
{
	if (run->stats.second.count || run->stats.answered > run->tick_answered)
		end_second(run, run->tick_ns - NS_PER_SEC);
}

void report_end(struct run *run)
{
	if (run->progress)
		fprintf(stderr, "\r\033[K");
}

bool report_is_valid(const struct run *run)
{
	return hist_percentile(&run->stats.lag, 99) <= run->set->max_lag_us * NS_PER_US;
}

/* A time in the unit in which it is read most easily. */
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

static void print_hist(FILE *to, const char *name, const struct hist *hist)
{
	static const struct {
		const char *name;
		double percent;
	} columns[] = {{"p50", 50},	{"p90", 90},	   {"p99", 99},
		       {"p99.9", 99.9}, {"p99.99", 99.99}, {"max", 100}};
	char text[40];

	if (!hist->count)
		return;
	fprintf(to, "  %-14s", name);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		fprintf(to, " %s %s%s", columns[i].name,
			time_text(text, sizeof(text), hist_percentile(hist, columns[i].percent)),
			columns[i].percent < 100 ? "," : "\n");
}

static void print_errors(const struct run *run, FILE *to)
{
	const struct stats *stats = &run->stats;

	for (int kind = 0; kind < ERROR_KINDS; kind++) {
		if (!stats->errors[kind])
			continue;
		fprintf(to, "  %-14s %llu %s%s%s%s\n", "errors", (unsigned long long)stats->errors[kind],
			error_rows[kind].text, error_rows[kind].hint ? " (" : "",
			error_rows[kind].hint ? error_rows[kind].hint : "", error_rows[kind].hint ? ")" : "");
	}
}

static void print_requests(const struct run *run, FILE *to)
{
	const struct stats *stats = &run->stats;

	if (run->mode == &mode_idle && !run->proto)
		return;
	fprintf(to, "  %-14s %llu in %.2f s, %.1f/s\n", run->mode == &mode_churn ? "cycles" : "requests",
		(unsigned long long)stats->requests, report_seconds(run),
		report_seconds(run) > 0 ? (double)stats->answered / report_seconds(run) : 0);
	print_hist(to, run->pace.rate ? "from planned" : "latency", &stats->latency);
	print_hist(to, "from sending", &stats->raw);
	print_hist(to, "own send lag", &stats->lag);
}

static void print_cpu(const struct run *run, FILE *to)
{
	double answered = (double)run->stats.answered;

	if (!run->stats.answered)
		return;
	fprintf(to, "  %-14s", "CPU/request");
	if (run->has_server_cpu)
		fprintf(to, " server %.2f us,", (double)run->server_cpu_ns / NS_PER_US / answered);
	fprintf(to, " load generator %.2f us\n", (double)run->client_cpu_ns / NS_PER_US / answered);
}

void report_print(const struct run *run, FILE *to)
{
	const struct stats *stats = &run->stats;

	fprintf(to, "%s %s, %u connections, %s%s%s, engine %s, %s loop\n", run->mode->name, run->target.text,
		run->nconns, run->sock->name, run->tls_info.version ? " " : "",
		run->tls_info.version ? run->tls_info.version : "", taio_name(run->ring),
		run->rate ? "open" : "closed");
	print_requests(run, to);
	fprintf(to, "  %-14s asked %llu, established %llu, completed %llu\n", "connections",
		(unsigned long long)stats->asked, (unsigned long long)stats->established,
		(unsigned long long)stats->completed);
	print_hist(to, "connect", &stats->connect);
	print_hist(to, "TLS full", &stats->tls_full);
	print_hist(to, "TLS resumed", &stats->tls_resumed);
	if (run->mode == &mode_idle)
		fprintf(to, "  %-14s %llu by the server, %llu early\n", "closed",
			(unsigned long long)stats->closed, (unsigned long long)stats->early);
	print_hist(to, "age at close", &stats->age);
	if (stats->inferred_ns)
		fprintf(to, "  %-14s %.0f ms, inferred from the earliest close\n", "deadline",
			(double)stats->inferred_ns / NS_PER_MS);
	print_hist(to, "lateness", &stats->lateness);
	print_cpu(run, to);
	print_errors(run, to);
	if (!report_is_valid(run))
		fprintf(to, "  INVALID: the load generator itself was late; its latencies describe it, not "
			    "the server\n");
	if (run->interrupted)
		fprintf(to, "  interrupted\n");
}

bool report_failure(const struct run *run, char *why)
{
	const struct stats *stats = &run->stats;
	uint64_t missing = stats->asked - stats->established, errors = stats_errors(stats);
	char text[40];

	if (missing && !run->interrupted) {
		snprintf(why, RUN_WHY_LEN, "%llu of %llu connections were not established (%s)",
			 (unsigned long long)missing, (unsigned long long)stats->asked, stats->first_error);
	} else if (errors) {
		snprintf(why, RUN_WHY_LEN, "%llu error%s: %s", (unsigned long long)errors,
			 errors > 1 ? "s; the first" : "", stats->first_error);
	} else if (!report_is_valid(run)) {
		snprintf(why, RUN_WHY_LEN,
			 "invalid: 1%% of the requests were sent %s or more behind plan (--max-lag)",
			 time_text(text, sizeof(text), hist_percentile(&stats->lag, 99)));
	} else {
		return false;
	}
	return true;
}
