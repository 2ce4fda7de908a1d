/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIGURE 16 /* bytes of a number as text */

static const struct {
	const char *key, *title, *metric;
} counters[] = {
	{"accepted", "accepted", "taiod_accepted_total"},
	{"requests", "requests", "taiod_requests_total"},
	{"bytes_in", "bytes in", "taiod_bytes_in_total"},
	{"bytes_out", "bytes out", "taiod_bytes_out_total"},
	{"reads", "reads", "taiod_reads_total"},
	{"writes", "writes", "taiod_writes_total"},
	{"tls_handshakes", "TLS handshakes", "taiod_tls_handshakes_total"},
	{"cancels", "cancels", "taiod_cancels_total"},
};

static const struct {
	const char *key, *title, *metric, *operation;
} latencies[] = {
	{"read", "read", "taiod_operation_seconds", "read"},
	{"write", "write", "taiod_operation_seconds", "write"},
	{"connect", "connect", "taiod_operation_seconds", "connect"},
	{"poll", "poll", "taiod_operation_seconds", "poll"},
	{"file_read", "file read", "taiod_operation_seconds", "file-read"},
	{"submit", "in io_submit", "taiod_submit_seconds", NULL},
	{"lateness", "deadline late", "taiod_deadline_lateness_seconds", NULL},
	{"cancel", "cancel", "taiod_cancel_seconds", NULL},
};

#define NLINES (sizeof(counters) / sizeof(counters[0]))
_Static_assert(NLINES == sizeof(latencies) / sizeof(latencies[0]), "they stand side by side");
_Static_assert(NLINES + 4 == REPORT_HEAD_LINES, "two lines above them, their titles, and an empty line");

char *report_printable(char *to, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		to[n++] = (unsigned char)*text < ' ' || (unsigned char)*text > '~' ? '?' : *text;
	to[n] = '\0';
	return to;
}

/* --- figures --- */

/* A digit behind the point, where it says something. */
static int decimals(double value)
{
	return value < 9.95 && fabs(value - round(value)) >= .05;
}

/* Up to five characters, of powers of 1000; "-": it is not known. */
static const char *number(double value, char text[FIGURE])
{
	static const char units[] = " kMGTPE";
	size_t unit = 0;

	if (!(fabs(value) < 1e21))
		return "-";
	for (; fabs(value) >= (unit ? 999.5 : 9999.5) && units[unit + 1]; unit++)
		value /= 1000;
	snprintf(text, FIGURE, "%.*f%.*s", decimals(value), value, unit > 0, &units[unit]);
	return text;
}

/* Up to five characters. */
static const char *duration(double seconds, char text[FIGURE])
{
	static const struct {
		double below, unit;
		const char *name;
	} units[] = {
		{1e-3, 1e-6, "us"}, {1, 1e-3, "ms"},	 {100, 1, "s"},
		{6000, 60, "m"},    {360000, 3600, "h"}, {86400e5, 86400, "d"},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double value = seconds / units[i].unit;

		if (!(seconds >= 0 && seconds < units[i].below))
			continue;
		snprintf(text, FIGURE, "%.*f%s", decimals(value), value, units[i].name);
		return text;
	}
	return seconds > 0 ? "long" : "-";
}

/* Ages and the like: below a second it does not matter. */
static const char *seconds(double value, char text[FIGURE])
{
	if (!(value >= 0 && value < 1))
		return duration(value, text);
	snprintf(text, FIGURE, "%.1fs", value);
	return text;
}

/* A second, or NaN. */
static double per_second(const struct report *report, const char *metric)
{
	double passed, added;

	if (!report->before || !sample_follows(report->now, report->before))
		return NAN;
	passed = (double)(report->now->at_ns - report->before->at_ns) / 1e9;
	added = metrics_value(&report->now->metrics, metric) -
		metrics_value(&report->before->metrics, metric);
	return added >= 0 && passed > 0 ? added / passed : NAN;
}

static void latency(const struct report *report, size_t i, bool is_recent, struct histogram *histogram)
{
	const char *label = latencies[i].operation ? "operation" : NULL;
	struct histogram before;

	metrics_histogram(&report->now->metrics, latencies[i].metric, label, latencies[i].operation,
			  histogram);
	if (!is_recent || !report->before || !sample_follows(report->now, report->before))
		return;
	metrics_histogram(&report->before->metrics, latencies[i].metric, label, latencies[i].operation,
			  &before);
	histogram_since(histogram, &before);
}

/* Since the start of taiod, or NaN. */
static double uptime(const struct report *report)
{
	double started = metrics_value(&report->now->metrics, "taiod_start_time_seconds");

	return isnan(started) ? NAN : fmax((double)time(NULL) - started, 0);
}

static void info(const struct report *report, const char *label, char *text, size_t size)
{
	char raw[64];

	metrics_label(&report->now->metrics, "taiod_info", label, raw, sizeof(raw));
	report_printable(text, size, *raw ? raw : "?");
}

/* --- text --- */

static void print_tally(FILE *to, const struct tally *tally, const char *before)
{
	char name[24], figure[FIGURE];

	for (size_t i = 0; i < tally->n; i++)
		fprintf(to, "%s%s %s", i ? ", " : before, number(tally->counts[i], figure),
			report_printable(name, sizeof(name), tally->names[i]));
}

static void print_line(FILE *to, const struct report *report, size_t i)
{
	char rate[FIGURE], total[FIGURE], count[FIGURE], p50[FIGURE], p99[FIGURE];
	struct histogram histogram;

	latency(report, i, report->is_recent, &histogram);
	fprintf(to, "%-16s %9s %9s   %-14s %8s %8s %8s\n", counters[i].title,
		number(per_second(report, counters[i].metric), rate),
		number(metrics_value(&report->now->metrics, counters[i].metric), total), latencies[i].title,
		number(histogram_count(&histogram), count), duration(histogram_quantile(&histogram, .5), p50),
		duration(histogram_quantile(&histogram, .99), p99));
}

void report_head(FILE *to, const struct report *report)
{
	const struct conns *conns = &report->now->conns;
	const struct metrics *metrics = &report->now->metrics;
	char version[32], engine[32], where[96], up[FIGURE], taken[FIGURE], most[FIGURE], open[FIGURE];

	info(report, "version", version, sizeof(version));
	info(report, "engine", engine, sizeof(engine));
	fprintf(to, "taiod %s, engine %s, up %s, slots %s of %s, %s\n", version, engine,
		seconds(uptime(report), up), number(metrics_value(metrics, "taiod_aio_slots"), taken),
		number(metrics_value(metrics, "taiod_aio_slots_max"), most),
		report_printable(where, sizeof(where), report->where));
	fprintf(to, "%s connection%s", number(conns->open, open), conns->open == 1 ? "" : "s");
	print_tally(to, &conns->states, ": ");
	print_tally(to, &conns->services, "; ");
	fprintf(to, "\n%-16s %9s %9s   %-14s %8s %8s %8s\n", "", "per s", "total",
		report->is_recent ? "latency now" : "latency", "count", "p50 <=", "p99 <=");
	for (size_t i = 0; i < NLINES; i++)
		print_line(to, report, i);
	fputc('\n', to);
}

void report_titles(FILE *to, enum sort sort)
{
	static const char *const ages[] = {"AGE", "AGE*"}, *const idles[] = {"IDLE", "IDLE*"};
	static const char *const waits[] = {"WAITS", "WAIT*"}, *const ins[] = {"IN", "IN*"};
	static const char *const outs[] = {"OUT", "OUT*"}, *const ids[] = {"ID", "ID*"};

	fprintf(to, "%-9s %-8s %-21s %-9s %5s %5s %5s %5s %5s %s\n", ids[sort == SORT_NEWEST], "SERVICE",
		"PEER", "STATE", ages[sort == SORT_AGE], idles[sort == SORT_IDLE], waits[sort == SORT_WAITS],
		ins[sort == SORT_BYTES], outs[sort == SORT_BYTES], "BACKEND");
}

void report_conn(FILE *to, const struct conn_row *row)
{
	char id[32], service[9], peer[64], state[10], backend[64];
	char age[FIGURE], idle[FIGURE], waits[FIGURE], in[FIGURE], out[FIGURE];

	fprintf(to, "%-9s %-8s %-21s %-9s %5s %5s %5s %5s %5s%s%s\n",
		report_printable(id, sizeof(id), row->id),
		report_printable(service, sizeof(service), row->service),
		report_printable(peer, sizeof(peer), row->peer),
		report_printable(state, sizeof(state), row->state), seconds(row->age_s, age),
		seconds(row->idle_s, idle), seconds(row->waits_s, waits), number(row->bytes_in, in),
		number(row->bytes_out, out), *row->backend ? " " : "",
		report_printable(backend, sizeof(backend), row->backend));
}

/* --- JSON --- */

static json_t *real(double value)
{
	if (!isfinite(value))
		return json_null();
	return value == floor(value) && fabs(value) < 9e15 ? json_integer((json_int_t)value)
							   : json_real(value);
}

static json_t *json_counters(const struct report *report)
{
	json_t *all = json_object();

	for (size_t i = 0; i < NLINES; i++) {
		json_t *one = json_object();

		json_object_set_new(one, "total",
				    real(metrics_value(&report->now->metrics, counters[i].metric)));
		json_object_set_new(one, "per_s", real(per_second(report, counters[i].metric)));
		json_object_set_new(all, counters[i].key, one);
	}
	return all;
}

static json_t *json_latency(const struct report *report, size_t i, bool is_recent)
{
	json_t *one = json_object();
	struct histogram histogram;

	latency(report, i, is_recent, &histogram);
	json_object_set_new(one, "count", real(histogram_count(&histogram)));
	json_object_set_new(one, "p50_s", real(histogram_quantile(&histogram, .5)));
	json_object_set_new(one, "p99_s", real(histogram_quantile(&histogram, .99)));
	return one;
}

static json_t *json_latencies(const struct report *report)
{
	json_t *all = json_object();

	for (size_t i = 0; i < NLINES; i++) {
		json_t *one = json_object();

		json_object_set_new(one, "total", json_latency(report, i, false));
		json_object_set_new(one, "interval", json_latency(report, i, true));
		json_object_set_new(all, latencies[i].key, one);
	}
	return all;
}

static json_t *json_tally(const struct tally *tally)
{
	json_t *all = json_object();

	for (size_t i = 0; i < tally->n; i++)
		json_object_set_new(all, tally->names[i], real(tally->counts[i]));
	return all;
}

static json_t *json_conns(const struct conns *conns, size_t rows)
{
	json_t *all = json_object(), *list = json_array();

	json_object_set_new(all, "open", real(conns->open));
	json_object_set_new(all, "states", json_tally(&conns->states));
	json_object_set_new(all, "services", json_tally(&conns->services));
	for (size_t i = 0; i < conns->n && i < rows; i++)
		json_array_append(list, (json_t *)(uintptr_t)conns->rows[i].json);
	json_object_set_new(all, "list", list);
	return all;
}

int report_json(FILE *to, const struct report *report, size_t rows)
{
	const struct metrics *metrics = &report->now->metrics;
	char version[32], engine[32];
	double passed = NAN;
	json_t *root;
	int ret;

	if (report->before)
		passed = (double)(report->now->at_ns - report->before->at_ns) / 1e9;
	info(report, "version", version, sizeof(version));
	info(report, "engine", engine, sizeof(engine));
	root = json_pack("{s:s, s:s, s:o, s:{s:o, s:o}, s:o, s:o, s:o, s:o}", "version", version, "engine",
			 engine, "uptime_s", real(uptime(report)), "slots", "taken",
			 real(metrics_value(metrics, "taiod_aio_slots")), "max",
			 real(metrics_value(metrics, "taiod_aio_slots_max")), "interval_s", real(passed),
			 "counters", json_counters(report), "latencies", json_latencies(report),
			 "connections", json_conns(&report->now->conns, rows));
	ret = root && !json_dumpf(root, to, JSON_INDENT(2) | JSON_ENSURE_ASCII) ? 0 : -ENOMEM;
	json_decref(root);
	fputc('\n', to);
	return ret;
}
