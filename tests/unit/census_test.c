/* SPDX-License-Identifier: MIT */
/* Connections by network: how many there may be, what makes a network, and that threads count together. */
#include "server/census.h"

#include "base/opt.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct census_limit limit;

static union addr address(const char *text)
{
	union addr addr = {.sa.sa_family = AF_UNIX};
	char why[ADDR_WHY_LEN];

	if (strcmp(text, "unix") != 0 && addr_resolve(text, false, &addr, why))
		fail_msg("%s", why);
	return addr;
}

static int enter(struct census_row **row, const char *text)
{
	const union addr addr = address(text);

	return census_enter(row, &addr, &limit);
}

static void as_many_as_may_be_and_no_more(void **state)
{
	struct census_row *rows[3], *another;

	limit = (struct census_limit){2, 32, 64};
	assert_int_equal(enter(&rows[0], "192.0.2.1:1"), 0);
	assert_int_equal(enter(&rows[1], "192.0.2.1:2"), 0);
	assert_int_equal(enter(&rows[2], "192.0.2.1:3"), -EDQUOT);
	assert_null(rows[2]);
	assert_int_equal(enter(&another, "192.0.2.2:1"), 0);
	census_leave(rows[0]);
	assert_int_equal(enter(&rows[0], "[::ffff:192.0.2.1]:4"), 0); /* is the same */
	assert_int_equal(enter(&rows[2], "192.0.2.1:3"), -EDQUOT);
	census_leave(rows[0]);
	census_leave(rows[1]);
	census_leave(another);
	census_leave(NULL);
}

static void what_makes_a_network(void **state)
{
	static const struct {
		const char *prefix, *one, *other;
		int want; /* of the other */
	} rows[] = {
		{"32/64", "192.0.2.1:1", "192.0.2.2:1", 0},
		{"31/64", "192.0.2.1:1", "192.0.2.0:1", -EDQUOT},
		{"31/64", "192.0.2.1:1", "192.0.2.2:1", 0},
		{"0/64", "192.0.2.1:1", "203.0.113.1:1", -EDQUOT},
		{"0/0", "192.0.2.1:1", "[2001:db8::1]:1", 0},
		{"32/64", "[2001:db8::1]:1", "[2001:db8::ffff:1]:1", -EDQUOT},
		{"32/64", "[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", 0},
		{"32/63", "[2001:db8:0:2::1]:1", "[2001:db8:0:3::1]:1", -EDQUOT},
		{"32/128", "[2001:db8::1]:1", "[2001:db8::2]:1", 0},
		{"32/64", "unix", "unix", 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct census_row *one, *other;
		char why[OPT_WHY_LEN];

		assert_int_equal(census_check_prefix(rows[i].prefix, why), 0);
		limit.max = 1;
		census_set_prefix(&limit, rows[i].prefix);
		assert_int_equal(enter(&one, rows[i].one), 0);
		if (enter(&other, rows[i].other) != rows[i].want)
			fail_msg("%s beside %s", rows[i].other, rows[i].one);
		census_leave(one);
		census_leave(other);
	}
}

static void without_a_limit_nothing_is_counted(void **state)
{
	struct census_row *row;

	limit = (struct census_limit){0, 32, 64};
	for (int i = 0; i < 3; i++) {
		assert_int_equal(enter(&row, "192.0.2.1:1"), 0);
		assert_null(row);
	}
}

static void a_prefix_that_is_none_is_named(void **state)
{
	static const char *const bad[] = {"",	    "32",     "/",	"32/",	 "/64",	  "33/64", "32/129",
					  "32/64/", "32/64 ", " 32/64", "-1/64", "32/-1", "a/b",   "0032/64"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char why[OPT_WHY_LEN] = "";

		assert_int_equal(census_check_prefix(bad[i], why), -EINVAL);
		assert_non_null(strstr(why, bad[i]));
		assert_non_null(strstr(why, "32/64"));
	}
}

#define NTHREADS 4
#define NROUNDS	 20000

/* Each enters as many as it can and leaves them again; returns the most that it had. */
static void *crowd(void *arg)
{
	struct census_row *rows[8];
	uintptr_t most = 0;

	for (int round = 0; round < NROUNDS; round++) {
		const union addr addr = {
			.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = (in_addr_t)(round % 3)}};
		size_t n = 0;

		while (n < 8 && !census_enter(&rows[n], &addr, &limit))
			n++;
		most = n > most ? n : most;
		while (n)
			census_leave(rows[--n]);
	}
	return (void *)most;
}

static void threads_count_together(void **state)
{
	pthread_t threads[NTHREADS];
	struct census_row *row;

	limit = (struct census_limit){5, 32, 64};
	for (int i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd, NULL), 0);
	for (int i = 0; i < NTHREADS; i++) {
		void *most;

		pthread_join(threads[i], &most);
		assert_in_range((uintptr_t)most, 1, 5);
	}
	/* Nothing is left. */
	limit.max = 1;
	assert_int_equal(enter(&row, "0.0.0.1:1"), 0);
	census_leave(row);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_may_be_and_no_more),
		cmocka_unit_test(what_makes_a_network),
		cmocka_unit_test(without_a_limit_nothing_is_counted),
		cmocka_unit_test(a_prefix_that_is_none_is_named),
		cmocka_unit_test(threads_count_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
