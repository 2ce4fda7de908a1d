/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include "access_log.h"
#include "base/clock.h"
#include "memory.h"
#include "publish.h"
#include "times.h"
#include "tls/tls.h"

#include <string.h>

static void stats_sum(const struct stats_of *of, struct counters *sum)
{
	uint64_t lines, lost;

	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < of->nworkers; i++)
		counters_sum(sum, &of->workers[i].shard.counters);
	count_set(sum, COUNT_memory_tls, tls_memory());
	count_set(sum, COUNT_memory_base, memory_base());
	access_log_count(&lines, &lost);
	count_set(sum, COUNT_access_log_lines, lines);
	count_set(sum, COUNT_access_log_lost, lost);
}

static int print_slots(struct outq *out)
{
	struct taio_slots slots;

	if (taio_slots(&slots, false))
		return 0;
	return outq_printf(out,
			   "# HELP taiod_aio_slots slots of fs.aio-max-nr that all processes have taken\n"
			   "# TYPE taiod_aio_slots gauge\ntaiod_aio_slots %ld\n"
			   "# HELP taiod_aio_slots_free slots of fs.aio-max-nr that are left\n"
			   "# TYPE taiod_aio_slots_free gauge\ntaiod_aio_slots_free %ld\n"
			   "# HELP taiod_aio_slots_max the sysctl fs.aio-max-nr\n"
			   "# TYPE taiod_aio_slots_max gauge\ntaiod_aio_slots_max %ld\n",
			   slots.taken, slots.max > slots.taken ? slots.max - slots.taken : 0, slots.max);
}

/* What is there now, by listener and backend. */
static int print_tallies(const struct stats_of *of, struct outq *out)
{
	struct tally_sheet sheet = {0};
	uint64_t now_us = clock_us();
	int ret = 0;

	for (unsigned int i = 0; i < of->nworkers && !ret; i++)
		ret = tally_sheet_add(&sheet, &of->workers[i].shard.book, now_us);
	if (!ret)
		ret = tally_sheet_print(&sheet, out);
	tally_sheet_free(&sheet);
	return ret;
}

int stats_metrics(void *arg, struct outq *out)
{
	const struct stats_of *of = arg;
	const char *engine = taio_name(of->workers[0].shard.ring);
	struct times times[TIME_MAX] = {0};
	struct counters sum;
	int ret;

	stats_sum(of, &sum);
	for (unsigned int i = 0; i < of->nworkers; i++)
		times_sum(times, of->workers[i].shard.times);
	ret = outq_printf(out,
			  "# HELP taiod_info version and engine\n# TYPE taiod_info gauge\n"
			  "taiod_info{version=\"%s\",engine=\"%s\"} 1\n"
			  "# HELP taiod_start_time_seconds when it was started, in seconds since 1970\n"
			  "# TYPE taiod_start_time_seconds gauge\ntaiod_start_time_seconds %lld\n",
			  TAIO_VERSION, engine, of->started_s);
	if (!ret)
		ret = counters_print(&sum, out);
	if (!ret)
		ret = print_tallies(of, out);
	if (!ret)
		ret = print_slots(out);
	return ret ? ret : times_print(times, engine, out);
}

static int json_row(void *to, const char *name, const char *type, const char *help, uint64_t value)
{
	fprintf(to, "  \"%s\": %llu,\n", name, (unsigned long long)value);
	return 0;
}

static int fill(FILE *to, void *arg)
{
	const struct stats_of *of = arg;
	static struct hist cancel_us; /* main thread only; too large for a stack */
	struct counters sum;

	hist_reset(&cancel_us);
	for (unsigned int i = 0; i < of->nworkers; i++)
		hist_peek(&cancel_us, &of->workers[i].shard.cancel_us);
	stats_sum(of, &sum);
	fprintf(to, "{\n");
	counters_each(&sum, json_row, to);
	fprintf(to,
		"  \"engine\": \"%s\",\n  \"cancel_us\": { \"count\": %llu, \"p50\": %llu, \"p90\": %llu, "
		"\"p99\": %llu, \"max\": %llu }\n}\n",
		taio_name(of->workers[0].shard.ring), (unsigned long long)cancel_us.count,
		(unsigned long long)hist_percentile(&cancel_us, 50),
		(unsigned long long)hist_percentile(&cancel_us, 90),
		(unsigned long long)hist_percentile(&cancel_us, 99), (unsigned long long)cancel_us.max);
	return 0;
}

int stats_write(const struct stats_of *of, const char *file)
{
	return publish(file, fill, (void *)(uintptr_t)of);
}
