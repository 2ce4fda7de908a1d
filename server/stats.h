/* SPDX-License-Identifier: MIT */
/* The sum over all workers, for /metrics and the stats file. */
#ifndef STATS_H
#define STATS_H

#include "worker.h"

struct stats_of {
	struct worker *workers;
	unsigned int nworkers;
};

/* service_env.metrics; @arg is a struct stats_of. Any worker's thread. */
int stats_metrics(void *arg, struct outq *out);

/*
 * Writes counters and io_cancel latency percentiles as JSON, atomically. -errno. Latencies are read from
 * under running workers: exact once they have ended.
 */
int stats_write(const struct stats_of *of, const char *file);

#endif
