/* SPDX-License-Identifier: MIT */
/*
 * When things are planned: the k-th at start + k / rate, whatever became of those before it. Exact: no drift
 * from rounding, and being late changes nothing about the rest. Without a rate everything is due at once.
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

/* The time of the next one; start_ns where there is no rate. */
static inline uint64_t pace_next(const struct pace *pace)
{
	return pace->next_ns;
}

/* Takes the next one and returns the time at which it was planned. */
uint64_t pace_take(struct pace *pace);

#endif
