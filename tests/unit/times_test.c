/* SPDX-License-Identifier: MIT */
/* times: where a duration is counted, and what Prometheus is told of it. */
#include "server/times.h"

#include "server/outq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What times_print() says of @times, for the caller to free. */
static char *text_of(const struct times *times)
{
	struct outq out;
	struct seg *seg;
	size_t len = 0;
	char *text;

	outq_init(&out);
	assert_int_equal(times_print(times, "poll", &out), 0);
	text = malloc(out.nbytes + 1);
	assert_non_null(text);
	STAILQ_FOREACH (seg, &out.segs, link) {
		memcpy(text + len, seg->data + seg->mem.begin, seg->mem.end - seg->mem.begin);
		len += seg->mem.end - seg->mem.begin;
	}
	text[len] = '\0';
	outq_clear(&out);
	return text;
}

static void assert_says(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("'%s' is not in\n%s", line, text);
}

static void each_is_counted_below_its_bound(void **state)
{
	static const struct {
		uint64_t us;
		const char *below, *not_below; /* bounds that have it, and that do not */
	} table[] = {
		{0, "0.000001", NULL},
		{1, "0.000002", "0.000001"},
		{2, "0.000004", "0.000002"},
		{1023, "0.001024", "0.000512"},
		{1024, "0.002048", "0.001024"},
		{(1ULL << 29) - 1, "536.870912", "268.435456"},
		{1ULL << 29, "+Inf", "536.870912"},
		{UINT64_MAX >> 8, "+Inf", "536.870912"},
	};
	char line[128], *text;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct times times[TIME_MAX] = {0};

		times_add(&times[TIME_cancel], table[i].us);
		text = text_of(times);
		snprintf(line, sizeof(line), "\ntaiod_cancel_seconds_bucket{engine=\"poll\",le=\"%s\"} 1\n",
			 table[i].below);
		assert_says(text, line);
		snprintf(line, sizeof(line), "\ntaiod_cancel_seconds_bucket{engine=\"poll\",le=\"%s\"} 0\n",
			 table[i].not_below);
		if (table[i].not_below)
			assert_says(text, line);
		assert_says(text, "\ntaiod_cancel_seconds_count{engine=\"poll\"} 1\n");
		free(text);
	}
}

static void workers_are_added_up(void **state)
{
	struct times a[TIME_MAX] = {0}, b[TIME_MAX] = {0}, sum[TIME_MAX] = {0};
	char *text;

	times_add(&a[TIME_read], 1500000);
	times_add(&a[TIME_read], 10);
	times_add(&b[TIME_read], 1000);
	times_add(&b[TIME_write], 7);
	times_sum(sum, a);
	times_sum(sum, b);
	text = text_of(sum);
	assert_says(text, "\ntaiod_operation_seconds_sum{engine=\"poll\",operation=\"read\"} 1.501010\n");
	assert_says(text, "\ntaiod_operation_seconds_count{engine=\"poll\",operation=\"read\"} 3\n");
	assert_says(
		text,
		"\ntaiod_operation_seconds_bucket{engine=\"poll\",operation=\"read\",le=\"0.001024\"} 2\n");
	assert_says(text, "\ntaiod_operation_seconds_count{engine=\"poll\",operation=\"write\"} 1\n");
	assert_says(text, "\ntaiod_operation_seconds_count{engine=\"poll\",operation=\"connect\"} 0\n");
	free(text);
}

static void a_name_is_explained_once(void **state)
{
	struct times times[TIME_MAX] = {0};
	char *text = text_of(times), *at;
	unsigned int n = 0;

	for (at = text; (at = strstr(at, "# TYPE taiod_operation_seconds histogram\n")); at++)
		n++;
	assert_int_equal(n, 1);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_counted_below_its_bound),
		cmocka_unit_test(workers_are_added_up),
		cmocka_unit_test(a_name_is_explained_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
