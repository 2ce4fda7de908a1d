/* SPDX-License-Identifier: MIT */
/* One table of the keys in docs/taio-load.schema.json. What was not measured is null. */
#include "json.h"

#include "aio/taio.h"
#include "proto.h"
#include "report.h"
#include "run.h"
#include "sock.h"
#include "tls/tls.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

struct percentile_key {
	const char *key;
	double percent;
};

// clang-format off
static const struct percentile_key percentile_keys[] = {
	{ "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p99_9", 99.9 }, { "p99_99", 99.99 }, { "max", 100 },
};
// clang-format on

/* Three decimals: nanoseconds, for a value in microseconds. */
static json_t *rounded(double value)
{
	return json_real(round(value * 1e3) / 1e3);
}

/* Microseconds: in a short run, dozens of requests fit into a millisecond. */
static json_t *seconds(double value)
{
	return json_real(round(value * 1e6) / 1e6);
}

static json_t *ratio(double value, double by)
{
	return by > 0 ? rounded(value / by) : json_null();
}

static json_t *count(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *hist_json(const struct hist *hist, uint64_t unit_ns)
{
	double unit = (double)unit_ns;
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(percentile_keys) / sizeof(percentile_keys[0]); i++) {
		uint64_t value = hist_percentile(hist, percentile_keys[i].percent);

		json_object_set_new(object, percentile_keys[i].key,
				    hist->count ? rounded((double)value / unit) : json_null());
	}
	json_object_set_new(object, "mean", hist->count ? rounded(hist_mean(hist) / unit) : json_null());
	json_object_set_new(object, "count", count(hist->count));
	return object;
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *seconds_or_null(uint64_t us)
{
	return us ? seconds((double)us / 1e6) : json_null();
}

static json_t *program_json(const struct run *run)
{
	return json_string("taio-load " TAIO_VERSION);
}

static json_t *mode_json(const struct run *run)
{
	return json_string(run->mode->command.name);
}

static json_t *target_json(const struct run *run)
{
	return json_string(run->net.target.text);
}

static json_t *engine_json(const struct run *run)
{
	return json_string(taio_name(run->net.ops.ring));
}

static json_t *loop_json(const struct run *run)
{
	return json_string(run->rate ? "open" : "closed");
}

static json_t *tls_json(const struct run *run)
{
	const struct tls_info *info = run->net.sock->info(&run->net);

	if (!run->net.sock->is_tls)
		return json_null();
	return json_pack("{s:s?, s:s?, s:s}", "version", info ? info->version : NULL, "cipher",
			 info ? info->cipher : NULL, "alpn", info ? info->alpn : "");
}

static const char *on_close_name(const struct run *run)
{
	if (!(run->mode->takes & TAKES_ON_CLOSE))
		return NULL;
	return run->set->on_close == ON_CLOSE_STOP ? "stop" : "reopen";
}

static json_t *options_json(const struct run *run)
{
	const struct settings *set = run->set;

	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:i, s:o, s:s?, s:s?}", "connections",
			 (int)set->connections, "duration_s", seconds((double)set->duration_us / 1e6),
			 "warmup_s", seconds((double)set->warmup_us / 1e6), "deadline_s",
			 seconds_or_null(set->deadline_us), "rate",
			 run->rate ? count(run->rate) : json_null(), "connect_rate", (int)set->connect_rate,
			 "size", count(set->size), "request", run->net.proto ? run->net.proto->name : NULL,
			 "on_close", on_close_name(run));
}

static json_t *measured_json(const struct run *run)
{
	return seconds(report_seconds(run));
}

static json_t *errors_json(const struct run *run)
{
	return count(stats_errors(&run->stats));
}

static json_t *errors_by_kind_json(const struct run *run)
{
	json_t *object = json_object();

	for (int kind = 0; kind < ERROR_KINDS; kind++)
		json_object_set_new(object, error_rows[kind].key, count(run->stats.errors[kind]));
	return object;
}

static json_t *first_error_json(const struct run *run)
{
	return text_or_null(run->stats.first_error[0] ? run->stats.first_error : NULL);
}

static json_t *rate_json(const struct run *run)
{
	return ratio((double)run->stats.responses, report_seconds(run));
}

static json_t *connections_json(const struct run *run)
{
	const struct stats *stats = &run->stats;

	return json_pack("{s:o, s:o, s:o}", "attempted", count(stats->attempted), "established",
			 count(stats->established), "completed", count(stats->completed));
}

static json_t *inferred_json(const struct run *run)
{
	uint64_t inferred_ns = run->stats.inferred_ns;

	return inferred_ns ? json_real((double)inferred_ns / NS_PER_MS) : json_null();
}

static json_t *per_response(const struct run *run, uint64_t ns)
{
	return ratio((double)ns / NS_PER_US, (double)run->stats.responses);
}

static json_t *server_cpu_per_request_json(const struct run *run)
{
	return run->has_server_cpu ? per_response(run, run->server_cpu_ns) : json_null();
}

static json_t *server_cpu_json(const struct run *run)
{
	return run->has_server_cpu ? seconds((double)run->server_cpu_ns / NS_PER_SEC) : json_null();
}

static json_t *client_cpu_per_request_json(const struct run *run)
{
	return per_response(run, run->client_cpu_ns);
}

static json_t *client_cpu_json(const struct run *run)
{
	return seconds((double)run->client_cpu_ns / NS_PER_SEC);
}

static json_t *valid_json(const struct run *run)
{
	return json_boolean(report_is_valid(run));
}

static json_t *interrupted_json(const struct run *run)
{
	return json_boolean(run->is_interrupted);
}

static json_t *failure_json(const struct run *run)
{
	char why[WHY_LEN];

	return text_or_null(report_failure(run, why) ? why : NULL);
}

enum when {
	ALWAYS,
	OPEN_LOOP, /* otherwise null */
	HOLDS,	   /* otherwise omitted */
};

/* One key. Its value comes from value() or a field of struct run: a counter or, with a unit, a histogram. */
struct row {
	const char *key;
	json_t *(*value)(const struct run *run);
	size_t offset;
	uint64_t unit_ns;
	enum when when;
};

// clang-format off
#define COUNT(field) .offset = offsetof(struct run, stats.field)
#define HIST(field, unit) .offset = offsetof(struct run, stats.field), .unit_ns = (unit)
static const struct row rows[] = {
	{ .key = "program", .value = program_json },
	{ .key = "mode", .value = mode_json },
	{ .key = "target", .value = target_json },
	{ .key = "engine", .value = engine_json },
	{ .key = "loop", .value = loop_json },
	{ .key = "tls", .value = tls_json },
	{ .key = "options", .value = options_json },
	{ .key = "measured_s", .value = measured_json },
	{ .key = "requests", COUNT(requests) },
	{ .key = "errors", .value = errors_json },
	{ .key = "errors_by_kind", .value = errors_by_kind_json },
	{ .key = "first_error", .value = first_error_json },
	{ .key = "unsent", COUNT(unsent) },
	{ .key = "requests_per_second", .value = rate_json },
	{ .key = "bytes_sent", COUNT(sent) },
	{ .key = "bytes_received", COUNT(received) },
	{ .key = "latency_us", HIST(latency, NS_PER_US) },
	{ .key = "latency_raw_us", HIST(raw, NS_PER_US), .when = OPEN_LOOP },
	{ .key = "send_lag_us", HIST(lag, NS_PER_US), .when = OPEN_LOOP },
	{ .key = "connections", .value = connections_json },
	{ .key = "reconnects", COUNT(reconnects) },
	{ .key = "reconnect_failures", COUNT(reconnect_failures) },
	{ .key = "connect_us", HIST(connect, NS_PER_US) },
	{ .key = "tls_full_us", HIST(tls_full, NS_PER_US) },
	{ .key = "tls_resumed_us", HIST(tls_resumed, NS_PER_US) },
	{ .key = "closed", COUNT(closed), .when = HOLDS },
	{ .key = "early", COUNT(early), .when = HOLDS },
	{ .key = "deadline_inferred_ms", .value = inferred_json, .when = HOLDS },
	{ .key = "lateness_ms", HIST(lateness, NS_PER_MS), .when = HOLDS },
	{ .key = "age_ms", HIST(age, NS_PER_MS), .when = HOLDS },
	{ .key = "server_cpu_us_per_request", .value = server_cpu_per_request_json },
	{ .key = "server_cpu_s", .value = server_cpu_json },
	{ .key = "client_cpu_us_per_request", .value = client_cpu_per_request_json },
	{ .key = "client_cpu_s", .value = client_cpu_json },
	{ .key = "valid", .value = valid_json },
	{ .key = "interrupted", .value = interrupted_json },
	{ .key = "failure", .value = failure_json },
};
#undef COUNT
#undef HIST
// clang-format on

static json_t *row_json(const struct run *run, const struct row *row)
{
	const void *field = (const char *)run + row->offset;

	if (row->when == OPEN_LOOP && !run->rate)
		return json_null();
	if (row->value)
		return row->value(run);
	return row->unit_ns ? hist_json(field, row->unit_ns) : count(*(const uint64_t *)field);
}

static json_t *result_json(const struct run *run)
{
	json_t *root = json_object();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].when != HOLDS || run->mode->holds)
			json_object_set_new(root, rows[i].key, row_json(run, &rows[i]));
	}
	return root;
}

int json_write(const struct run *run, const char *file, char *why)
{
	json_t *root = result_json(run);
	FILE *to = strcmp(file, "-") ? fopen(file, "we") : stdout;
	int err = 0;

	if (!to) {
		err = -errno;
		goto no_file;
	}
	if (json_dumpf(root, to, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) < 0 || fputc('\n', to) == EOF)
		err = -EIO;
	if ((to == stdout ? fflush(to) : fclose(to)) && !err)
		err = -errno;
no_file:
	json_decref(root);
	if (err)
		snprintf(why, WHY_LEN, "--json %.200s: %s", file, strerror(-err));
	return err;
}
