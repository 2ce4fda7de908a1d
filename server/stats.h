/* SPDX-License-Identifier: MIT */
/* Sums over all workers, for /metrics and the stats file. */
#ifndef STATS_H
#define STATS_H

#include "worker.h"

struct stats_of {
	struct worker *workers;
	unsigned int nworkers;
	long long started_s; /* time(2) */
};

/* service_env.metrics; @arg is a struct stats_of. Any worker's thread. */
int stats_metrics(void *arg, struct outq *out);

/*
 * Writes counters and io_cancel latency percentiles as JSON, atomically. 0 or -errno. While workers run, they
 * may change latencies as these are read: exact only once the workers have ended.
 */
int stats_write(const struct stats_of *of, const char *file);

#endif
