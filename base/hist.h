/* SPDX-License-Identifier: MIT */
/*
 * A log-linear histogram of unsigned values up to 2^40: exact below 256, and no more than 1/128 too high
 * above that (a bucket reports its upper edge). Of larger values only the maximum is kept. Fixed size (34
 * KiB), no allocation; merged by addition. All zero is an empty one.
 */
#ifndef HIST_H
#define HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 7
#define HIST_BUCKETS  ((40 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
	uint64_t count, min, max;
	long double sum;
	uint64_t buckets[HIST_BUCKETS];
};

void hist_reset(struct hist *hist);
void hist_add(struct hist *hist, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);

/*
 * As hist_merge(), while the thread that @from belongs to goes on adding: what it counts meanwhile may be
 * missing. Of @into there is no mean afterwards.
 */
void hist_peek(struct hist *into, const struct hist *from);

/*
 * The smallest bucket edge that @percent (0..100) of the values do not exceed (nearest rank); never above max
 * or below min. 0 if empty.
 */
uint64_t hist_percentile(const struct hist *hist, double percent);

/* Exact. 0 if empty. */
double hist_mean(const struct hist *hist);

#endif
