/* SPDX-License-Identifier: MIT */
/* When lost connections are opened again, and how often at most. Times are in milliseconds. */
#include "loadgen/reconnect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS(ms) ((ms)*NS_PER_MS)
#define N      4

static struct reconnect reconnect;
static struct reconnect_entry entries[N];

static int setup(void **state)
{
	reconnect_init(&reconnect, 0);
	for (int i = 0; i < N; i++) {
		entries[i] = (struct reconnect_entry){0};
		reconnect_add(&reconnect, &entries[i]);
	}
	return 0;
}

static void take(int want, uint64_t now_ns)
{
	assert_true(reconnect_take_ns(&reconnect, false) <= now_ns);
	assert_ptr_equal(reconnect_take(&reconnect, now_ns), &entries[want]);
}

/* The trial ends at @now_ns, and the connection waits again. */
static void lose(int i, bool failed, uint64_t now_ns)
{
	reconnect_ended(&reconnect, &entries[i], failed, now_ns);
	reconnect_add(&reconnect, &entries[i]);
}

static void all_go_at_once_while_none_fails(void **state)
{
	for (int i = 0; i < N; i++) {
		assert_int_equal(reconnect_take_ns(&reconnect, true), 0);
		take(i, MS(5));
	}
	assert_int_equal(reconnect_take_ns(&reconnect, false), NEVER_NS);
	lose(1, false, MS(6));
	take(1, MS(6));
}

static void after_a_failure_one_at_a_time_goes_with_a_growing_delay(void **state)
{
	uint64_t now_ns = MS(100), delay_ns = RECONNECT_MIN_NS;

	take(0, now_ns);
	lose(0, true, now_ns);
	for (int i = 1; i < 20; i++) {
		assert_int_equal(reconnect_take_ns(&reconnect, true), NEVER_NS);
		assert_int_equal(reconnect_take_ns(&reconnect, false), now_ns + delay_ns);
		now_ns += delay_ns;
		take(i % N, now_ns);
		/* Established, so far: the next one goes after the same delay. */
		assert_int_equal(reconnect_take_ns(&reconnect, false), now_ns + delay_ns);
		lose(i % N, true, now_ns);
		delay_ns = 2 * delay_ns < RECONNECT_MAX_NS ? 2 * delay_ns : RECONNECT_MAX_NS;
	}
	assert_int_equal(delay_ns, RECONNECT_MAX_NS);
}

static void trials_that_fail_together_are_one_failure(void **state)
{
	for (int i = 0; i < N; i++)
		take(i, MS(0));
	for (int i = 0; i < N; i++)
		lose(i, true, MS(1));
	assert_int_equal(reconnect_take_ns(&reconnect, false), MS(1) + RECONNECT_MIN_NS);
}

static void a_response_ends_the_delay(void **state)
{
	take(0, MS(0));
	lose(0, true, MS(0));
	take(1, MS(10));
	reconnect_proved(&reconnect, &entries[1]);
	for (int i = 2; i < N; i++)
		take(i, MS(10));
	/* Not on trial any more. */
	reconnect_ended(&reconnect, &entries[1], true, MS(11));
	take(0, MS(11));
}

static void what_was_opened_before_the_failure_proves_nothing(void **state)
{
	take(0, MS(0));
	take(1, MS(0));
	lose(0, true, MS(0));
	reconnect_proved(&reconnect, &entries[1]);
	assert_int_equal(reconnect_take_ns(&reconnect, false), RECONNECT_MIN_NS);
}

static void the_rate_is_a_maximum(void **state)
{
	reconnect_init(&reconnect, 100);
	for (int i = 0; i < N; i++) {
		entries[i] = (struct reconnect_entry){0};
		reconnect_add(&reconnect, &entries[i]);
	}
	take(0, MS(500));
	for (int i = 1; i < N; i++) {
		assert_int_equal(reconnect_take_ns(&reconnect, false), MS(500 + 10 * i));
		take(i, MS(500 + 10 * i));
	}
	/* A pause is not made up for. */
	lose(0, false, MS(900));
	lose(1, false, MS(900));
	take(0, MS(900));
	assert_int_equal(reconnect_take_ns(&reconnect, false), MS(910));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(all_go_at_once_while_none_fails, setup),
		cmocka_unit_test_setup(after_a_failure_one_at_a_time_goes_with_a_growing_delay, setup),
		cmocka_unit_test_setup(trials_that_fail_together_are_one_failure, setup),
		cmocka_unit_test_setup(a_response_ends_the_delay, setup),
		cmocka_unit_test_setup(what_was_opened_before_the_failure_proves_nothing, setup),
		cmocka_unit_test_setup(the_rate_is_a_maximum, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
