/* SPDX-License-Identifier: MIT */
/*
 * When requests are planned: the k-th at start + k / rate, whatever happens to those before it. Exact:
 * rounding does not add up, and being late does not shift the rest. Without a rate everything is due at once.
 */
#ifndef PACE_H
#define PACE_H

#include "base/clock.h"

struct pace {
	uint64_t start_ns;
	uint64_t rate;	/* per second; 0: no plan */
	uint64_t count; /* taken so far */
	uint64_t next_ns;
};

void pace_start(struct pace *pace, unsigned int rate, uint64_t start_ns);

/* When the next one is planned; start_ns if there is no rate. */
static inline uint64_t pace_next(const struct pace *pace)
{
	return pace->next_ns;
}

/* Takes the next one and returns when it was planned. */
uint64_t pace_take(struct pace *pace);

#endif
