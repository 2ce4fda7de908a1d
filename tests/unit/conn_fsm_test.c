/* SPDX-License-Identifier: MIT */
/* The table of a connection's states has no hole, and deadlines keep their order. No ring, no socket. */
#include "server/conn/deadline.h"
#include "server/conn/fsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void every_cell_has_a_step(void **state)
{
	for (int s = 0; s < CONN_NSTATES; s++)
		for (int e = 0; e < CONN_NEVENTS; e++)
			if (!conn_fsm_has((enum conn_state)s, (enum conn_event)e))
				fail_msg("state %s has no step for event %d",
					 conn_state_name((enum conn_state)s), e);
}

static void every_state_has_its_name(void **state)
{
	for (int a = 0; a < CONN_NSTATES; a++) {
		assert_non_null(conn_state_name((enum conn_state)a));
		for (int b = 0; b < a; b++)
			assert_string_not_equal(conn_state_name((enum conn_state)a),
						conn_state_name((enum conn_state)b));
	}
}

static void every_reason_has_its_words_and_its_counter(void **state)
{
	static struct shard shard;

	for (int why = CLOSE_PEER; why < CLOSE_NREASONS; why++) {
		struct conn c = {.shard = &shard};
		uint64_t before = 0, after = 0;

		for (int i = 0; i < COUNT_MAX; i++)
			before += shard.counters.v[i];
		assert_non_null(conn_why_text((enum close_reason)why));
		conn_because(&c, (enum close_reason)why);
		conn_because(&c, CLOSE_ERROR); /* the first reason stays */
		assert_int_equal(c.why, why);
		for (int i = 0; i < COUNT_MAX; i++)
			after += shard.counters.v[i];
		assert_int_equal(after, before + 1);
	}
	/* Each was counted once, under a name of its own. */
	for (int i = COUNT_closed_peer; i <= COUNT_closed_memory; i++)
		assert_int_equal(shard.counters.v[i], 1);
}

/* --- deadlines --- */

#define NCONNS 4

static struct {
	struct shard shard;
	struct conn conns[NCONNS];
	struct conn *expired[NCONNS];
	unsigned int nexpired;
} scene;

static int scene_open(void **state)
{
	scene.shard = (struct shard){.now_us = 1000};
	scene.nexpired = 0;
	idle_init(&scene.shard);
	for (int class = 0; class < DEADLINE_NCLASSES; class ++)
		scene.shard.timeouts_us[class] = 100;
	for (int i = 0; i < NCONNS; i++)
		scene.conns[i] = (struct conn){.magic = CONN_MAGIC, .shard = &scene.shard};
	return 0;
}

static void on_expired(struct conn *c)
{
	scene.expired[scene.nexpired++] = c;
}

static uint64_t expire_at(uint64_t now_us)
{
	scene.shard.now_us = now_us;
	return idle_expire(&scene.shard, DEADLINE_IDLE, on_expired);
}

static void none_expires_early_and_all_in_order(void **state)
{
	for (unsigned int i = 0; i < NCONNS; i++) {
		scene.shard.now_us = 1000 + i;
		idle_arm(&scene.conns[i], DEADLINE_IDLE);
	}
	assert_int_equal(expire_at(1099), 1100);
	assert_int_equal(scene.nexpired, 0);
	assert_int_equal(expire_at(1101), 1102);
	assert_int_equal(scene.nexpired, 2);
	assert_int_equal(expire_at(5000), 0);
	assert_int_equal(scene.nexpired, NCONNS);
	for (unsigned int i = 0; i < NCONNS; i++) {
		assert_ptr_equal(scene.expired[i], &scene.conns[i]);
		assert_int_equal(scene.conns[i].deadline_class, DEADLINE_NONE);
	}
}

static void arming_postpones_and_keeping_does_not(void **state)
{
	idle_arm(&scene.conns[0], DEADLINE_IDLE);
	idle_arm(&scene.conns[1], DEADLINE_IDLE);
	scene.shard.now_us = 1050;
	idle_arm(&scene.conns[0], DEADLINE_IDLE);
	idle_keep(&scene.conns[1], DEADLINE_IDLE);
	assert_ptr_equal(idle_oldest(&scene.shard), &scene.conns[1]);
	assert_int_equal(expire_at(1100), 1150);
	assert_int_equal(scene.nexpired, 1);
	assert_ptr_equal(scene.expired[0], &scene.conns[1]);
}

static void keeping_another_class_moves_over(void **state)
{
	idle_arm(&scene.conns[0], DEADLINE_WRITE);
	scene.shard.now_us = 1050;
	idle_keep(&scene.conns[0], DEADLINE_IDLE);
	assert_int_equal(scene.conns[0].deadline_us, 1150);
	assert_true(TAILQ_EMPTY(&scene.shard.deadlines[DEADLINE_WRITE]));
}

static void a_class_without_timeout_never_expires(void **state)
{
	scene.shard.timeouts_us[DEADLINE_IDLE] = 0;
	idle_arm(&scene.conns[0], DEADLINE_IDLE);
	assert_int_equal(scene.conns[0].deadline_class, DEADLINE_NONE);
	assert_int_equal(expire_at(UINT64_MAX), 0);
	assert_null(idle_oldest(&scene.shard));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_has_a_step),
		cmocka_unit_test(every_state_has_its_name),
		cmocka_unit_test(every_reason_has_its_words_and_its_counter),
		cmocka_unit_test_setup(none_expires_early_and_all_in_order, scene_open),
		cmocka_unit_test_setup(arming_postpones_and_keeping_does_not, scene_open),
		cmocka_unit_test_setup(keeping_another_class_moves_over, scene_open),
		cmocka_unit_test_setup(a_class_without_timeout_never_expires, scene_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
