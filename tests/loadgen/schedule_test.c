/* SPDX-License-Identifier: MIT */
/* Who begins what and when, and whose fault it is when that is late. Times are in milliseconds. */
#include "loadgen/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS(ms)	   ((ms)*NS_PER_MS)
#define DELAY_NS   MS(100)
#define NOTABLE_NS MS(5)

static struct schedule schedule;
static struct schedule_entry entries[3];

static int setup(void **state)
{
	schedule_init(&schedule, DELAY_NS, NOTABLE_NS);
	for (int i = 0; i < 3; i++)
		entries[i] = (struct schedule_entry){0};
	return 0;
}

/* Expects @want to be taken at @now_ns, for @planned_ns. */
static void take(uint64_t now_ns, struct schedule_entry *want, uint64_t want_planned_ns)
{
	uint64_t planned_ns = NEVER_NS;

	assert_ptr_equal(schedule_take(&schedule, now_ns, &planned_ns), want);
	if (want)
		assert_int_equal(planned_ns, want_planned_ns);
}

static void the_longest_waiting_begins_first(void **state)
{
	schedule_start(&schedule, 0, MS(0));
	for (int i = 0; i < 3; i++)
		schedule_add(&schedule, &entries[i], MS(1));
	schedule_remove(&schedule, &entries[1]);
	assert_int_equal(schedule_take_ns(&schedule, MS(7)), 0);
	take(MS(7), &entries[0], MS(7));
	take(MS(8), &entries[2], MS(8));
	take(MS(9), NULL, 0);
	assert_int_equal(schedule_take_ns(&schedule, MS(9)), NEVER_NS);
}

static void nothing_begins_at_the_end_or_later(void **state)
{
	static const unsigned int rates[] = {0, 1000};

	for (int i = 0; i < 2; i++) {
		setup(state);
		schedule_start(&schedule, rates[i], MS(10));
		schedule.end_ns = MS(10);
		schedule_add(&schedule, &entries[0], MS(1));
		take(MS(10), NULL, 0);
		assert_int_equal(schedule_take_ns(&schedule, MS(10)), NEVER_NS);
		assert_false(schedule_has_plan(&schedule));
	}
}

static void the_open_loop_keeps_to_its_plan(void **state)
{
	schedule_start(&schedule, 100, MS(0));
	take(MS(0), NULL, 0); /* nobody is ready: the first one stays planned */
	schedule_add(&schedule, &entries[0], MS(3));
	schedule_add(&schedule, &entries[1], MS(3));
	take(MS(3), &entries[0], MS(0));
	take(MS(3), NULL, 0);
	assert_int_equal(schedule_take_ns(&schedule, MS(3)), MS(10));
	take(MS(12), &entries[1], MS(10));
}

static void a_delayed_entry_is_ready_later(void **state)
{
	schedule_start(&schedule, 0, MS(0));
	schedule_add_later(&schedule, &entries[0], MS(0));
	schedule_add_later(&schedule, &entries[1], MS(1));
	schedule_remove(&schedule, &entries[1]);
	take(MS(50), NULL, 0);
	assert_int_equal(schedule_expire_ns(&schedule), DELAY_NS);
	schedule_expire(&schedule, DELAY_NS, DELAY_NS);
	assert_int_equal(schedule_expire_ns(&schedule), NEVER_NS);
	take(DELAY_NS, &entries[0], DELAY_NS);
	take(DELAY_NS, NULL, 0);
}

/* One request: planned, begun and, if the connection is to be used again, ready. Returns the lag. */
static uint64_t request(uint64_t planned_ns, uint64_t sent_ns, uint64_t ready_ns)
{
	uint64_t lag_ns = schedule_begin(&schedule, &entries[0], planned_ns, sent_ns);

	assert_int_equal(schedule.nbegun, 1);
	schedule_end(&schedule, &entries[0]);
	schedule_add(&schedule, &entries[0], ready_ns);
	schedule_remove(&schedule, &entries[0]);
	return lag_ns;
}

static void a_wait_for_the_server_is_no_lag(void **state)
{
	schedule_start(&schedule, 100, MS(0));
	assert_int_equal(request(MS(0), MS(0), MS(500)), 0);
	/* Planned for 10, but the connection was busy until 500: sent 1 ms after that. */
	assert_int_equal(request(MS(10), MS(501), MS(510)), MS(1));
	/* Small delays do not add up over those that wait. */
	assert_int_equal(request(MS(20), MS(511), MS(520)), MS(1));
}

static void what_queues_behind_our_own_delay_is_late_too(void **state)
{
	schedule_start(&schedule, 100, MS(0));
	assert_int_equal(request(MS(0), MS(200), MS(201)), MS(200));
	/* It would have been ready at 1 instead of 201. */
	assert_int_equal(request(MS(10), MS(201), MS(202)), MS(191));
	assert_int_equal(request(MS(20), MS(202), MS(203)), MS(182));
	/* Caught up. */
	assert_int_equal(request(MS(300), MS(300), MS(301)), 0);
}

static void the_closed_loop_has_no_lag(void **state)
{
	schedule_start(&schedule, 0, MS(0));
	assert_int_equal(request(MS(0), MS(200), MS(201)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_longest_waiting_begins_first, setup),
		cmocka_unit_test_setup(nothing_begins_at_the_end_or_later, setup),
		cmocka_unit_test_setup(the_open_loop_keeps_to_its_plan, setup),
		cmocka_unit_test_setup(a_delayed_entry_is_ready_later, setup),
		cmocka_unit_test_setup(a_wait_for_the_server_is_no_lag, setup),
		cmocka_unit_test_setup(what_queues_behind_our_own_delay_is_late_too, setup),
		cmocka_unit_test_setup(the_closed_loop_has_no_lag, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
