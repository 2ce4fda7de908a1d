/* SPDX-License-Identifier: MIT */
/* hist: percentiles against exact ones of the sorted values, for distributions that latency has. */
#include "base/hist.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NVALUES 20000

static const unsigned int per_mille_100[] = {0, 1, 1000, 10000, 50000, 90000, 99000, 99900, 99990, 100000};

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static double next_unit(void)
{
	return ((double)(next_random() >> 11) + 0.5) / 9007199254740992.0;
}

static uint64_t small(void)
{
	return next_random() % 256;
}

static uint64_t uniform(void)
{
	return next_random() % 1000000;
}

static uint64_t exponential(void)
{
	return (uint64_t)(-log(next_unit()) * 50000);
}

static uint64_t heavy_tail(void)
{
	return (uint64_t)(100 / pow(next_unit(), 1.1));
}

static uint64_t two_humps(void)
{
	return next_random() % 100 ? 90 + next_random() % 20 : 40000 + next_random() % 1000;
}

static uint64_t constant(void)
{
	return 123457;
}

static uint64_t every_magnitude(void)
{
	return next_random() >> (24 + next_random() % 40);
}

typedef uint64_t value_fn(void);

static value_fn *const distributions[] = {small,     uniform,  exponential,    heavy_tail,
					  two_humps, constant, every_magnitude};

#define NDISTRIBUTIONS (sizeof(distributions) / sizeof(distributions[0]))

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Nearest rank, in whole numbers alone. */
static uint64_t exact_percentile(const uint64_t *sorted, uint64_t n, unsigned int milli)
{
	uint64_t rank = (n * milli + 99999) / 100000;

	return sorted[rank ? rank - 1 : 0];
}

static void check_percentiles(const struct hist *hist, const uint64_t *sorted, uint64_t n)
{
	for (size_t i = 0; i < sizeof(per_mille_100) / sizeof(per_mille_100[0]); i++) {
		uint64_t want = exact_percentile(sorted, n, per_mille_100[i]);
		uint64_t got = hist_percentile(hist, per_mille_100[i] / 1000.0);

		assert_true(got >= want);
		assert_true(got - want <= want / 128);
		if (want < 256)
			assert_int_equal(got, want);
		assert_true(got <= hist->max);
	}
}

static void fill(struct hist *hist, uint64_t *values, size_t n, value_fn *next)
{
	hist_reset(hist);
	for (size_t i = 0; i < n; i++) {
		values[i] = next();
		hist_add(hist, values[i]);
	}
	qsort(values, n, sizeof(*values), compare);
}

static void percentiles_match_sorted_data(void **unused)
{
	static const size_t counts[] = {1, 2, 3, 99, 100, 101, 1000, NVALUES};
	static uint64_t values[NVALUES];
	static struct hist hist;

	state = 88172645463325252;
	for (size_t d = 0; d < NDISTRIBUTIONS; d++) {
		for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
			fill(&hist, values, counts[c], distributions[d]);
			check_percentiles(&hist, values, counts[c]);
			assert_int_equal(hist.min, values[0]);
			assert_int_equal(hist.max, values[counts[c] - 1]);
			assert_int_equal(hist.count, counts[c]);
		}
	}
}

static void merge_equals_adding_to_one(void **unused)
{
	static struct hist parts[2], merged, whole;

	state = 42;
	hist_reset(&whole);
	hist_reset(&parts[0]);
	hist_reset(&parts[1]);
	for (size_t i = 0; i < NVALUES; i++) {
		uint64_t value = every_magnitude();

		hist_add(&whole, value);
		hist_add(&parts[i % 3 == 0], value);
	}
	hist_reset(&merged);
	hist_merge(&merged, &parts[0]);
	hist_merge(&merged, &parts[1]);
	assert_int_equal(merged.count, whole.count);
	assert_int_equal(merged.min, whole.min);
	assert_int_equal(merged.max, whole.max);
	assert_true(merged.sum == whole.sum);
	assert_memory_equal(merged.buckets, whole.buckets, sizeof(whole.buckets));
}

static void merge_of_empty_changes_nothing(void **unused)
{
	static struct hist some, none;

	hist_reset(&some);
	hist_add(&some, 7);
	hist_merge(&some, &none);
	assert_int_equal(some.min, 7);
	assert_int_equal(some.count, 1);
	hist_merge(&none, &some);
	assert_int_equal(none.min, 7);
	assert_int_equal(hist_percentile(&none, 50), 7);
}

static void *add_many(void *hist)
{
	for (uint64_t i = 0; i < 100 * NVALUES; i++)
		hist_add(hist, 100 + i % 1000);
	return NULL;
}

static void peek_while_another_thread_adds(void **unused)
{
	static struct hist live, seen;
	uint64_t count = 0;
	pthread_t thread;

	hist_reset(&live);
	assert_int_equal(pthread_create(&thread, NULL, add_many, &live), 0);
	do {
		hist_reset(&seen);
		hist_peek(&seen, &live);
		assert_true(seen.count >= count);
		count = seen.count;
		if (!count)
			continue;
		assert_int_equal(seen.min, 100);
		assert_in_range(hist_percentile(&seen, 50), 100, 1100);
		assert_in_range(seen.max, 100, 1099);
	} while (count < 100 * NVALUES);
	pthread_join(thread, NULL);
	assert_int_equal(seen.max, 1099);
	assert_memory_equal(seen.buckets, live.buckets, sizeof(live.buckets));
}

static void empty_has_percentile_zero(void **unused)
{
	static struct hist hist;

	assert_int_equal(hist_percentile(&hist, 50), 0);
	assert_true(hist_mean(&hist) == 0);
}

static void too_large_values_report_the_maximum(void **unused)
{
	static struct hist hist;

	hist_reset(&hist);
	hist_add(&hist, 5);
	hist_add(&hist, UINT64_MAX - 1);
	hist_add(&hist, UINT64_MAX);
	assert_int_equal(hist_percentile(&hist, 33), 5);
	assert_true(hist_percentile(&hist, 100) == UINT64_MAX);
}

static void mean_is_exact(void **unused)
{
	static struct hist hist;

	hist_reset(&hist);
	hist_add(&hist, 1000001);
	hist_add(&hist, 1000002);
	assert_true(hist_mean(&hist) == 1000001.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles_match_sorted_data),
		cmocka_unit_test(merge_equals_adding_to_one),
		cmocka_unit_test(merge_of_empty_changes_nothing),
		cmocka_unit_test(peek_while_another_thread_adds),
		cmocka_unit_test(empty_has_percentile_zero),
		cmocka_unit_test(too_large_values_report_the_maximum),
		cmocka_unit_test(mean_is_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
