/* SPDX-License-Identifier: MIT */
/* The result as JSON, as docs/taio-load.schema.json describes it. What was not measured is null. Loop thread
 * only. */
#include "report.h"
#include "run.h"

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

/* Three decimals: a nanosecond of a microsecond. */
static json_t *rounded(double value)
{
	return json_real(round(value * 1e3) / 1e3);
}

/* To the microsecond: a millisecond of a short run is as long as dozens of its requests. */
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
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(percentile_keys) / sizeof(percentile_keys[0]); i++)
		json_object_set_new(
			object, percentile_keys[i].key,
			hist->count ? rounded((double)hist_percentile(hist, percentile_keys[i].percent) /
					      (double)unit_ns)
				    : json_null());
	json_object_set_new(object, "mean",
			    hist->count ? rounded((double)(hist->sum / hist->count) / (double)unit_ns)
					: json_null());
	json_object_set_new(object, "count", count(hist->count));
	return object;
}

static json_t *errors_json(const struct stats *stats)
{
	json_t *object = json_object();

	for (int kind = 0; kind < ERROR_KINDS; kind++)
		json_object_set_new(object, error_rows[kind].key, count(stats->errors[kind]));
	return object;
}

static json_t *connections_json(const struct stats *stats)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "asked", count(stats->asked), "established",
			 count(stats->established), "completed", count(stats->completed), "reopened",
			 count(stats->reopened));
}

static json_t *seconds_or_null(uint64_t us)
{
	return us ? seconds((double)us / 1e6) : json_null();
}

static json_t *options_json(const struct run *run)
{
	const struct settings *set = run->set;

	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:i, s:o, s:s?}", "connections", (int)set->connections,
			 "duration_s", seconds((double)set->duration_us / 1e6), "warmup_s",
			 seconds((double)set->warmup_us / 1e6), "deadline_s",
			 seconds_or_null(set->deadline_us), "rate",
			 run->rate ? count(run->rate) : json_null(), "connect_rate", (int)set->connect_rate,
			 "size", count(set->size), "request", run->proto ? run->proto->name : NULL);
}

static json_t *tls_json(const struct run *run)
{
	if (run->sock != &sock_tls)
		return json_null();
	return json_pack("{s:s?, s:s?, s:s}", "version", run->tls_info.version, "cipher",
			 run->tls_info.cipher, "alpn", run->tls_info.alpn);
}

static void put_head(const struct run *run, json_t *root)
{
	json_object_set_new(root, "program", json_string("taio-load " TAIO_VERSION));
	json_object_set_new(root, "mode", json_string(run->mode->name));
	json_object_set_new(root, "target", json_string(run->target.text));
	json_object_set_new(root, "engine", json_string(taio_name(run->ring)));
	json_object_set_new(root, "loop", json_string(run->rate ? "open" : "closed"));
	json_object_set_new(root, "tls", tls_json(run));
	json_object_set_new(root, "options", options_json(run));
}

static void put_load(const struct run *run, json_t *root)
{
	const struct stats *stats = &run->stats;
	bool is_open = run->rate;

	json_object_set_new(root, "measured_s", seconds(report_seconds(run)));
	json_object_set_new(root, "requests", count(stats->requests));
	json_object_set_new(root, "errors", count(stats_errors(stats)));
	json_object_set_new(root, "errors_by_kind", errors_json(stats));
	json_object_set_new(root, "first_error",
			    stats->first_error[0] ? json_string(stats->first_error) : json_null());
	json_object_set_new(root, "unsent", count(stats->unsent));
	json_object_set_new(root, "requests_per_second", ratio((double)stats->answered, report_seconds(run)));
	json_object_set_new(root, "bytes_sent", count(stats->sent));
	json_object_set_new(root, "bytes_received", count(stats->received));
	json_object_set_new(root, "latency_us", hist_json(&stats->latency, NS_PER_US));
	json_object_set_new(root, "latency_raw_us",
			    is_open ? hist_json(&stats->raw, NS_PER_US) : json_null());
	json_object_set_new(root, "send_lag_us", is_open ? hist_json(&stats->lag, NS_PER_US) : json_null());
}

static void put_connections(const struct run *run, json_t *root)
{
	const struct stats *stats = &run->stats;

	json_object_set_new(root, "connections", connections_json(stats));
	json_object_set_new(root, "connect_us", hist_json(&stats->connect, NS_PER_US));
	json_object_set_new(root, "tls_full_us", hist_json(&stats->tls_full, NS_PER_US));
	json_object_set_new(root, "tls_resumed_us", hist_json(&stats->tls_resumed, NS_PER_US));
	if (run->mode != &mode_idle)
		return;
	json_object_set_new(root, "closed", count(stats->closed));
	json_object_set_new(root, "early", count(stats->early));
	json_object_set_new(root, "deadline_inferred_ms",
			    stats->inferred_ns ? json_real((double)stats->inferred_ns / NS_PER_MS)
					       : json_null());
	json_object_set_new(root, "lateness_ms", hist_json(&stats->lateness, NS_PER_MS));
	json_object_set_new(root, "age_ms", hist_json(&stats->age, NS_PER_MS));
}

static void put_verdict(const struct run *run, json_t *root)
{
	const struct stats *stats = &run->stats;
	char why[RUN_WHY_LEN];

	json_object_set_new(root, "server_cpu_us_per_request",
			    run->has_server_cpu
				    ? ratio((double)run->server_cpu_ns / NS_PER_US, (double)stats->answered)
				    : json_null());
	json_object_set_new(root, "server_cpu_s",
			    run->has_server_cpu ? seconds((double)run->server_cpu_ns / NS_PER_SEC)
						: json_null());
	json_object_set_new(root, "client_cpu_us_per_request",
			    ratio((double)run->client_cpu_ns / NS_PER_US, (double)stats->answered));
	json_object_set_new(root, "client_cpu_s", seconds((double)run->client_cpu_ns / NS_PER_SEC));
	json_object_set_new(root, "valid", json_boolean(report_is_valid(run)));
	json_object_set_new(root, "interrupted", json_boolean(run->interrupted));
	json_object_set_new(root, "failure", report_failure(run, why) ? json_string(why) : json_null());
}

int json_write(const struct run *run, const char *file, char *why)
{
	json_t *root = json_object();
	FILE *to = strcmp(file, "-") ? fopen(file, "we") : stdout;
	int err = 0;

	if (!to) {
		err = -errno;
		goto no_file;
	}
	put_head(run, root);
	put_load(run, root);
	put_connections(run, root);
	put_verdict(run, root);
	if (json_dumpf(root, to, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) < 0 || fputc('\n', to) == EOF)
		err = -EIO;
	if ((to == stdout ? fflush(to) : fclose(to)) && !err)
		err = -errno;
no_file:
	json_decref(root);
	if (err)
		snprintf(why, RUN_WHY_LEN, "--json %.200s: %s", file, strerror(-err));
	return err;
}
