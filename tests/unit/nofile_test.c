/* SPDX-License-Identifier: MIT */
/* The soft limit of file descriptors is raised as far as the hard one allows. */
#include "base/nofile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

static void the_soft_limit_becomes_the_hard_one(void **state)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 64;
	limit.rlim_max = limit.rlim_max < 512 ? limit.rlim_max : 512;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(nofile_raise(), limit.rlim_max);
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
		assert_int_equal(limit.rlim_cur, limit.rlim_max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_soft_limit_becomes_the_hard_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
