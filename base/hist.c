/* SPDX-License-Identifier: MIT */
/*
 * The histogram's arithmetic. A histogram belongs to one thread, which alone adds to it; threads combine
 * theirs by hist_merge(), or by hist_peek() while their owners go on.
 *
 * A value of b bits (b > HIST_SUB_BITS) keeps its top HIST_SUB_BITS + 1 bits, whose highest is always set:
 * index = shift * 2^SUB + (value >> shift), shift = b - SUB - 1. So each power of two has 2^SUB buckets, and
 * below 2^(SUB+1), where shift is 0, the index is the value itself.
 */
#include "hist.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define SUB_COUNT (1u << HIST_SUB_BITS)

static unsigned int bucket_of(uint64_t value)
{
	unsigned int bits = 64 - (unsigned int)__builtin_clzll(value | 1);
	unsigned int shift = bits > HIST_SUB_BITS + 1 ? bits - HIST_SUB_BITS - 1 : 0;
	uint64_t index = (uint64_t)shift * SUB_COUNT + (value >> shift);

	return index < HIST_BUCKETS ? (unsigned int)index : HIST_BUCKETS - 1;
}

/* The largest value that bucket @index counts. */
static uint64_t bucket_top(unsigned int index)
{
	unsigned int shift = index < 2 * SUB_COUNT ? 0 : index / SUB_COUNT - 1;
	uint64_t sub = index - shift * SUB_COUNT;

	/* The last one also counts whatever is too large for any. */
	return index == HIST_BUCKETS - 1 ? UINT64_MAX : ((sub + 1) << shift) - 1;
}

void hist_reset(struct hist *hist)
{
	memset(hist, 0, sizeof(*hist));
}

static void store(uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static uint64_t load(const uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

void hist_add(struct hist *hist, uint64_t value)
{
	uint64_t *bucket = &hist->buckets[bucket_of(value)];

	/* What hist_peek() reads is stored as a whole; plain stores on the machines at hand. */
	if (!hist->count || value < hist->min)
		store(&hist->min, value);
	if (value > hist->max)
		store(&hist->max, value);
	hist->count++;
	hist->sum += (long double)value;
	store(bucket, *bucket + 1);
}

void hist_merge(struct hist *into, const struct hist *from)
{
	if (!from->count)
		return;
	if (!into->count || from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	into->count += from->count;
	into->sum += from->sum;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

void hist_peek(struct hist *into, const struct hist *from)
{
	uint64_t count = 0, min, max;

	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		uint64_t n = load(&from->buckets[i]);

		into->buckets[i] += n;
		count += n;
	}
	if (!count)
		return;
	min = load(&from->min);
	max = load(&from->max);
	if (!into->count || min < into->min)
		into->min = min;
	if (max > into->max)
		into->max = max;
	into->count += count;
}

/* How many values must lie at or below the percentile, 1..count. */
static uint64_t rank_of(uint64_t count, double percent)
{
	/* The nearest double to 99.9 is above it: without the correction, 99.9 % of 1000 would be 1000. */
	long double rank = ceill((long double)count * percent / 100 * (1 - (long double)DBL_EPSILON));

	if (rank < 1)
		return 1;
	return rank < (long double)count ? (uint64_t)rank : count;
}

uint64_t hist_percentile(const struct hist *hist, double percent)
{
	uint64_t rank, seen = 0;
	unsigned int i;

	if (!hist->count)
		return 0;
	rank = rank_of(hist->count, percent);
	if (rank == 1)
		return hist->min;
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += hist->buckets[i];
		if (seen >= rank)
			break;
	}
	return bucket_top(i) < hist->max ? bucket_top(i) : hist->max;
}

double hist_mean(const struct hist *hist)
{
	return hist->count ? (double)(hist->sum / (long double)hist->count) : 0;
}
