/* SPDX-License-Identifier: MIT */
/* What a taiod says of itself at one moment, by two requests to its service admin. */
#ifndef CLIENT_SAMPLE_H
#define CLIENT_SAMPLE_H

#include "ask.h"
#include "conns.h"
#include "metrics.h"

struct sample {
	uint64_t at_ns;
	struct metrics metrics;
	struct conns conns;
};

struct sampling {
	struct client *client;
	struct ask *ask;
	const char *where; /* for messages */
	enum sort sort;
	unsigned int count; /* connections of each worker */
	struct sample *sample;
	bool has_metrics;
};

/* Begins to fill *sample. 0 or -errno; failures are reported, but for signals. */
int sampling_start(struct sampling *sampling, struct sample *sample);
/* Never sleeps: 0 once it is filled in, -EAGAIN before that, -errno: there is nothing in it. */
int sampling_some(struct sampling *sampling);
/* All zero is allowed. */
void sample_free(struct sample *sample);
/* Whether both are of one process: counters have gone on. */
bool sample_follows(const struct sample *now, const struct sample *before);

#endif
