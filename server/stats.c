/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include "memory.h"
#include "publish.h"
#include "tls/tls.h"

#include <string.h>

static void stats_sum(const struct stats_of *of, struct counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < of->nworkers; i++)
		counters_sum(sum, &of->workers[i].shard.counters);
	count_set(sum, COUNT_memory_tls, tls_memory());
	count_set(sum, COUNT_memory_base, memory_base());
}

int stats_metrics(void *arg, struct outq *out)
{
	struct counters sum;

	stats_sum(arg, &sum);
	return counters_print(&sum, out);
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
