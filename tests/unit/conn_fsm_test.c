/* SPDX-License-Identifier: MIT */
/* The table of a connection's states has no hole; steps that need no ring. */
#include "conn_scene.h"

#include "base/clock.h"
#include "server/conn/fsm.h"
#include "server/conn/list.h"
#include "server/conn/peer.h"

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

	for (int why = CLOSE_NONE + 1; why < CLOSE_NREASONS; why++) {
		struct conn c = {.shard = &shard};
		uint64_t before = 0, after = 0;

		for (int i = 0; i < COUNT_MAX; i++)
			before += shard.counters.v[i];
		assert_non_null(close_reason_text((enum close_reason)why));
		conn_set_reason(&c, (enum close_reason)why);
		conn_set_reason(&c, CLOSE_ERROR); /* the first reason stays */
		assert_int_equal(c.reason, why);
		for (int i = 0; i < COUNT_MAX; i++)
			after += shard.counters.v[i];
		assert_int_equal(after, before + 1);
	}
	/* Each was counted once, under a name of its own. */
	for (int i = COUNT_closed_peer; i <= COUNT_closed_memory; i++)
		assert_int_equal(shard.counters.v[i], 1);
}

/* --- steps --- */

static unsigned int ninputs;

static enum step fake_input(void *session, const char *data, size_t len, size_t *used, struct outq *out)
{
	ninputs++;
	return STEP_FAILED;
}

/* Of a session nothing is asked but in SERVE. */
static void a_resume_is_for_serve_alone(void **state)
{
	static const struct service service = {.name = "fake", .phase = fake_phase, .input = fake_input};
	static struct endpoint endpoint = {.service = &service};
	static const enum conn_state deaf[] = {CONN_PROXY, CONN_HANDSHAKE, CONN_AWAY,
					       CONN_FLUSH, CONN_LINGER,	   CONN_CLOSING};

	for (size_t i = 0; i < sizeof(deaf) / sizeof(deaf[0]); i++) {
		struct conn c = {
			.magic = CONN_MAGIC,
			.refs = 1,
			.shard = &scene.shard,
			.group = scene.group,
			.endpoint = &endpoint,
		};

		c.state = (uint8_t)deaf[i];
		outq_init(&c.out);
		conn_fsm(&c, ON_RESUME, 0);
		assert_int_equal(ninputs, 0);
		assert_int_equal(c.state, deaf[i]);
		assert_int_equal(c.refs, 1);
	}
}

/* What a thread writes goes behind what is being sent, which must not move. */
static void a_step_for_a_thread_waits_for_the_write_under_way(void **state)
{
	struct conn *c = &scene.conns[0];
	char data[64];

	scene.shard.crew = (struct crew *)data; /* that there is one is all that counts */
	c->state = CONN_HANDSHAKE;
	c->in = (struct buf){.data = data, .cap = sizeof(data)};
	c->wr.state = OP_IN_FLIGHT;
	conn_fsm(c, ON_READ, 10);
	assert_int_equal(c->state, CONN_HANDSHAKE);
	assert_int_equal(c->input, INPUT_BLOCKED);
	assert_null(c->shake);
	assert_int_equal(c->deadline_class, DEADLINE_HANDSHAKE);
	deadline_clear(c);
}

/* A thread has its session: no operation is there to be cancelled, and none of it is waited for. */
static void what_ends_a_handshake_in_a_thread_does_so_at_once(void **state)
{
	static const struct {
		enum conn_event event;
		long res;
		enum close_reason want;
	} rows[] = {
		{ON_DEADLINE, CLOSE_HANDSHAKE, CLOSE_HANDSHAKE},
		{ON_END, CLOSE_OTHER, CLOSE_OTHER},
		{ON_END, CLOSE_ADMIN, CLOSE_ADMIN},
		{ON_DRAIN, 0, CLOSE_DRAIN},
		{ON_STOP, 0, CLOSE_DRAIN},
		{ON_EVICT, 0, CLOSE_EVICTED},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conn *c = &scene.conns[0];

		c->state = CONN_AWAY;
		c->reason = CLOSE_NONE;
		c->refs = 2; /* the table's, and the step's */
		deadline_update(c);
		conn_fsm(c, rows[i].event, rows[i].res);
		assert_int_equal(c->state, CONN_CLOSING);
		assert_int_equal(c->reason, rows[i].want);
		assert_int_equal(c->deadline_class, DEADLINE_NONE);
		conn_fsm(c, ON_BACK, STEP_DONE);
		assert_int_equal(c->state, CONN_CLOSING);
		assert_int_equal(c->refs, 1);
	}
}

/* By its id, once: what it waits for is cancelled, and data that has won that race does not keep it. */
static void what_is_ended_by_its_id_is_not_kept_by_data(void **state)
{
	struct conn *c = &scene.conns[0];

	LIST_INSERT_HEAD(&scene.shard.conns, c, link);
	c->id = 7;
	c->refs = 2; /* the table's, and the read's */
	c->rd.state = OP_QUEUED;
	assert_false(conn_list_end(&scene.shard, 6));
	assert_false(c->rd.cancelled);
	assert_true(conn_list_end(&scene.shard, 7));
	assert_true(c->rd.cancelled);
	assert_int_equal(c->state, CONN_SERVE);
	assert_true(conn_list_end(&scene.shard, 7)); /* while that is under way */
	assert_int_equal(c->state, CONN_SERVE);
	c->rd.state = OP_IDLE;
	conn_fsm(c, ON_ROOM, 0); /* as after bytes: it advances */
	assert_int_equal(c->state, CONN_CLOSING);
	assert_int_equal(c->reason, CLOSE_ADMIN);
	assert_int_equal(c->refs, 1);
	assert_true(conn_list_end(&scene.shard, 7));
	assert_int_equal(c->refs, 1);
	LIST_REMOVE(c, link);
}

/* The loop slept before it brought what resumes a session: what is armed then must not count from before. */
static void a_resume_reads_the_clock(void **state)
{
	struct conn *c = &scene.conns[0];
	uint64_t before = clock_us();

	c->state = CONN_CLOSING;
	peer_resume(conn_peer(c));
	assert_true(scene.shard.now_us >= before);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_has_a_step),
		cmocka_unit_test(every_state_has_its_name),
		cmocka_unit_test(every_reason_has_its_words_and_its_counter),
		SCENE_TEST(a_resume_is_for_serve_alone),
		SCENE_TEST(a_step_for_a_thread_waits_for_the_write_under_way),
		SCENE_TEST(what_ends_a_handshake_in_a_thread_does_so_at_once),
		SCENE_TEST(what_is_ended_by_its_id_is_not_kept_by_data),
		SCENE_TEST(a_resume_reads_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
