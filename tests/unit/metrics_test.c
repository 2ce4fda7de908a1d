/* SPDX-License-Identifier: MIT */
/* metrics: what is well-formed is read, what is not is refused with its line, and no text makes it crash. */
#include "client/metrics.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct metrics parse(const char *text)
{
	struct metrics metrics;
	size_t line;

	assert_int_equal(metrics_parse(&metrics, text, strlen(text), &line), 0);
	return metrics;
}

static void values_are_read(void **state)
{
	struct metrics metrics = parse("# HELP a is a\n# TYPE a counter\na 1\n\r\n  b\t-2.5e3 1234567\r\n"
				       "c{x=\"1\"} 7\nc 8\nd +Inf\ne NaN\nf{ } 9\nlast:one_2 10");

	assert_true(metrics_value(&metrics, "a") == 1);
	assert_true(metrics_value(&metrics, "b") == -2500);
	assert_true(metrics_value(&metrics, "c") == 8);
	assert_true(isinf(metrics_value(&metrics, "d")));
	assert_true(isnan(metrics_value(&metrics, "e")));
	assert_true(metrics_value(&metrics, "last:one_2") == 10);
	assert_true(isnan(metrics_value(&metrics, "g")));
	assert_int_equal(metrics.n, 8);
	metrics_free(&metrics);
}

static void labels_are_read(void **state)
{
	struct metrics metrics = parse("i{version=\"0.1\",engine=\"a\\\"b\\\\c\\nd}\",} 1\n"
				       "j { engine = \"x\" , le=\"2\"}3\n");
	char value[32];

	metrics_label(&metrics, "i", "version", value, sizeof(value));
	assert_string_equal(value, "0.1");
	metrics_label(&metrics, "i", "engine", value, sizeof(value));
	assert_string_equal(value, "a\"b\\c\nd}");
	metrics_label(&metrics, "i", "engin", value, sizeof(value));
	assert_string_equal(value, "");
	metrics_label(&metrics, "j", "le", value, sizeof(value));
	assert_string_equal(value, "2");
	metrics_label(&metrics, "i", "engine", value, 3);
	assert_string_equal(value, "a\"");
	metrics_label(&metrics, "none", "engine", value, sizeof(value));
	assert_string_equal(value, "");
	metrics_free(&metrics);
}

static void malformed_lines_are_told(void **state)
{
	static const char *const rows[] = {
		"a",
		"a ",
		"1a 1",
		"{x=\"1\"} 1",
		"a 1 2 3",
		"a 1 x",
		"a 0x10",
		"a nan(1)",
		"a one",
		"a{ 1",
		"a{x} 1",
		"a{x=} 1",
		"a{x=1} 1",
		"a{x=\"1} 1",
		"a{x=\"1\\",
		"a{x=\"1\\\"} 1",
		"a{x=\"1\" y=\"2\"} 1",
		"a{=\"1\"} 1",
		"a{,} 1",
		"a{x=\"1\"}",
		"a{x=\"1\"",
		"a-b 1",
		"\x1b[31m 1",
		"a \xff",
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct metrics metrics;
		char text[64];
		size_t line;

		snprintf(text, sizeof(text), "ok 1\n# x\n%s\nok 2\n", rows[i]);
		if (metrics_parse(&metrics, text, strlen(text), &line) != -EINVAL || line != 3)
			fail_msg("'%s' is not refused, or line %zu", rows[i], line);
		assert_null(metrics.text);
		assert_null(metrics.rows);
	}
}

static void a_nul_is_refused(void **state)
{
	struct metrics metrics;
	size_t line;

	assert_int_equal(metrics_parse(&metrics, "a 1\n\0b 2\n", 9, &line), -EINVAL);
}

static void nothing_is_well_formed(void **state)
{
	struct metrics metrics = parse("");

	assert_int_equal(metrics.n, 0);
	metrics_free(&metrics);
}

/* --- histograms --- */

static void quantiles_are_bounds(void **state)
{
	struct metrics metrics =
		parse("t_bucket{op=\"r\",le=\"0.001\"} 50\nt_bucket{op=\"r\",le=\"0.002\"} 98\n"
		      "t_bucket{op=\"r\",le=\"+Inf\"} 100\nt_bucket{op=\"w\",le=\"0.001\"} 1\n"
		      "t_sum{op=\"r\"} 1\nt_count{op=\"r\"} 100\n");
	struct histogram histogram;

	metrics_histogram(&metrics, "t", "op", "r", &histogram);
	assert_true(histogram_count(&histogram) == 100);
	assert_true(histogram_quantile(&histogram, .5) == 0.001);
	assert_true(histogram_quantile(&histogram, .51) == 0.002);
	assert_true(isinf(histogram_quantile(&histogram, .99)));
	metrics_histogram(&metrics, "t", "op", "w", &histogram);
	assert_true(histogram_count(&histogram) == 1);
	metrics_histogram(&metrics, "none", NULL, NULL, &histogram);
	assert_true(histogram_count(&histogram) == 0);
	assert_true(isnan(histogram_quantile(&histogram, .5)));
	metrics_free(&metrics);
}

static void what_has_been_added_since(void **state)
{
	struct metrics metrics = parse("a_bucket{le=\"1\"} 10\na_bucket{le=\"2\"} 20\nb_bucket{le=\"1\"} 12\n"
				       "b_bucket{le=\"2\"} 40\nc_bucket{le=\"1\"} 5\nc_bucket{le=\"2\"} 6\n");
	struct histogram before, now;

	metrics_histogram(&metrics, "a", NULL, NULL, &before);
	metrics_histogram(&metrics, "b", NULL, NULL, &now);
	histogram_since(&now, &before);
	assert_true(now.counts[0] == 2 && now.counts[1] == 18);
	metrics_histogram(&metrics, "c", NULL, NULL, &now); /* it has begun anew */
	histogram_since(&now, &before);
	assert_true(now.counts[0] == 5 && now.counts[1] == 1);
	metrics_free(&metrics);
}

static void inconsistent_buckets_do_no_harm(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	struct histogram histogram;
	struct metrics metrics;

	fputs("t_bucket 5\nt_bucket{le=\"x\"} 5\nt_bucket{le=\"NaN\"} 5\nt_bucket{le=\"1\"} -5\n"
	      "t_bucket{le=\"1\"} NaN\nt_bucket{le=\"1\"} +Inf\nt_bucket{le=\"2\"} 9\nt_bucket{le=\"3\"} 4\n",
	      to);
	for (int i = 200; i > 3; i--)
		fprintf(to, "t_bucket{le=\"%d\"} %d\n", i, i);
	fclose(to);
	metrics = parse(text);
	metrics_histogram(&metrics, "t", NULL, NULL, &histogram);
	assert_int_equal(histogram.n, HISTOGRAM_BUCKETS);
	for (size_t i = 0; i < histogram.n; i++)
		assert_true(histogram.counts[i] >= 0 && (!i || histogram.le[i] > histogram.le[i - 1]));
	assert_false(isnan(histogram_quantile(&histogram, .5)));
	metrics_free(&metrics);
	free(text);
}

/* Whatever bytes: they are read or refused. AddressSanitizer finds what is read beyond them. */
static void any_bytes_are_read_or_refused(void **state)
{
	static const char alphabet[] = "ab_:{}=\",\\ \n\t19.+-eEnN#\xff";
	unsigned int seed = 1;

	for (int i = 0; i < 200000; i++) {
		char text[40];
		size_t len = (size_t)rand_r(&seed) % sizeof(text), line;
		struct histogram histogram;
		struct metrics metrics;
		char value[4];

		for (size_t k = 0; k < len; k++)
			text[k] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		if (metrics_parse(&metrics, text, len, &line))
			continue;
		metrics_label(&metrics, "a", "b", value, sizeof(value));
		metrics_histogram(&metrics, "a", "b", "a", &histogram);
		metrics_free(&metrics);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(labels_are_read),
		cmocka_unit_test(malformed_lines_are_told),
		cmocka_unit_test(a_nul_is_refused),
		cmocka_unit_test(nothing_is_well_formed),
		cmocka_unit_test(quantiles_are_bounds),
		cmocka_unit_test(what_has_been_added_since),
		cmocka_unit_test(inconsistent_buckets_do_no_harm),
		cmocka_unit_test(any_bytes_are_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
