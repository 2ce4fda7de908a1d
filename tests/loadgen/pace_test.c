/* SPDX-License-Identifier: MIT */
/* The open loop's plan neither drifts nor forgets. */
#include "loadgen/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_kth_is_planned_k_over_rate_after_the_start(void **state)
{
	static const unsigned int rates[] = {1, 3, 7, 1000, 999983, 10000000};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct pace pace;
		uint64_t count = 3ull * rates[i] < 2000000 ? 3ull * rates[i] : 2000000;

		pace_start(&pace, rates[i], 1000);
		for (uint64_t k = 0; k < count; k++)
			assert_int_equal(pace_take(&pace), 1000 + k * NS_PER_SEC / rates[i]);
	}
}

static void a_day_at_a_million_a_second_is_exact(void **state)
{
	struct pace pace;

	pace_start(&pace, 1000000, 0);
	pace.count = 86400ull * 1000000 - 1;
	pace_take(&pace);
	assert_int_equal(pace_next(&pace), 86400 * NS_PER_SEC);
}

static void without_a_rate_everything_is_due_at_the_start(void **state)
{
	struct pace pace;

	pace_start(&pace, 0, 5);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pace_take(&pace), 5);
	assert_int_equal(pace_next(&pace), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kth_is_planned_k_over_rate_after_the_start),
		cmocka_unit_test(a_day_at_a_million_a_second_is_exact),
		cmocka_unit_test(without_a_rate_everything_is_due_at_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
