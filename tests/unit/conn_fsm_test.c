/* SPDX-License-Identifier: MIT */
/* The table of a connection's states has no hole, and deadlines keep their order. No ring. */
#include "server/conn/deadline.h"
#include "server/conn/fsm.h"

#include "base/clock.h"
#include "server/conn/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* --- deadlines --- */

#define NCONNS 4

static enum phase phase;

static enum phase fake_phase(const void *session)
{
	return phase;
}

static const struct service fake_service = {.name = "fake", .phase = fake_phase};
static struct endpoint fake_endpoint = {.service = &fake_service};

static struct {
	struct shard shard;
	struct conn_group *group;
	struct conn conns[NCONNS];
	struct conn *expired[NCONNS];
	unsigned int nexpired;
} scene;

/* Connections between requests: the idle timeout counts. */
static int scene_open(void **state)
{
	struct limits limits = {0};

	memset(&scene, 0, sizeof(scene));
	scene.shard.now_us = 1000;
	deadline_init(&scene.shard);
	phase = PHASE_IDLE;
	for (int class = 0; class < DEADLINE_NCLASSES; class ++)
		limits.timeout_us[class] = 100;
	scene.group = conn_group_create(&scene.shard, &limits);
	assert_non_null(scene.group);
	for (int i = 0; i < NCONNS; i++)
		scene.conns[i] = (struct conn){.magic = CONN_MAGIC,
					       .shard = &scene.shard,
					       .group = scene.group,
					       .endpoint = &fake_endpoint,
					       .state = CONN_SERVE};
	return 0;
}

static int scene_close(void **state)
{
	conn_group_put(scene.group);
	return 0;
}

static void set_timeout(struct conn_group *group, enum deadline_class class, uint64_t timeout_us)
{
	struct limits limits = group->limits;

	limits.timeout_us[class] = timeout_us;
	deadline_set_limits(group, &limits);
}

static void on_expired(struct conn *c, enum close_reason reason)
{
	assert_int_equal(reason, CLOSE_IDLE);
	scene.expired[scene.nexpired++] = c;
}

static uint64_t expire_at(uint64_t now_us)
{
	scene.shard.now_us = now_us;
	return deadline_expire(&scene.shard, DEADLINE_IDLE, on_expired);
}

static void the_state_says_which_deadline_counts(void **state)
{
	static const struct {
		enum conn_state state;
		enum op_state write;
		enum phase phase;
		enum deadline_class want;
		enum close_reason reason;
		int postponed_by;
	} rows[] = {
		{CONN_PROXY, OP_IDLE, PHASE_IDLE, DEADLINE_HEADER, CLOSE_HEADER, MOVED_NOTHING},
		{CONN_HANDSHAKE, OP_IDLE, PHASE_IDLE, DEADLINE_HANDSHAKE, CLOSE_HANDSHAKE, MOVED_NOTHING},
		{CONN_HANDSHAKE, OP_IN_FLIGHT, PHASE_IDLE, DEADLINE_HANDSHAKE, CLOSE_HANDSHAKE,
		 MOVED_NOTHING},
		{CONN_AWAY, OP_IDLE, PHASE_IDLE, DEADLINE_HANDSHAKE, CLOSE_HANDSHAKE, MOVED_NOTHING},
		{CONN_SERVE, OP_IDLE, PHASE_IDLE, DEADLINE_IDLE, CLOSE_IDLE, MOVED_INPUT},
		{CONN_SERVE, OP_IDLE, PHASE_BODY, DEADLINE_IDLE, CLOSE_IDLE, MOVED_INPUT},
		{CONN_SERVE, OP_IDLE, PHASE_HEAD, DEADLINE_HEADER, CLOSE_HEADER, MOVED_NOTHING},
		{CONN_SERVE, OP_QUEUED, PHASE_IDLE, DEADLINE_WRITE, CLOSE_WRITE, MOVED_OUTPUT},
		{CONN_SERVE, OP_IN_FLIGHT, PHASE_HEAD, DEADLINE_WRITE, CLOSE_WRITE, MOVED_OUTPUT},
		{CONN_FLUSH, OP_IN_FLIGHT, PHASE_IDLE, DEADLINE_WRITE, CLOSE_WRITE, MOVED_OUTPUT},
		{CONN_LINGER, OP_IDLE, PHASE_IDLE, DEADLINE_LINGER, CLOSE_LINGER, MOVED_OUTPUT},
		{CONN_CLOSING, OP_IDLE, PHASE_IDLE, DEADLINE_NONE, CLOSE_NONE, MOVED_NOTHING},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conn *c = &scene.conns[0];

		c->state = (uint8_t)rows[i].state;
		c->wr.state = (uint8_t)rows[i].write;
		phase = rows[i].phase;
		scene.shard.now_us = 1000;
		deadline_clear(c);
		deadline_update(c);
		assert_int_equal(c->deadline_class, rows[i].want);
		if (rows[i].want == DEADLINE_NONE)
			continue;
		for (int moved = MOVED_NOTHING; moved <= (MOVED_INPUT | MOVED_OUTPUT); moved++) {
			uint64_t before = c->deadline_us;
			bool postponed = moved & rows[i].postponed_by;
			/* The first of the looks at what the peer takes. */
			uint64_t next_us = rows[i].postponed_by & MOVED_OUTPUT ? 25 : 100;

			scene.shard.now_us++;
			c->moved = (uint8_t)moved;
			assert_int_equal(deadline_holds(c, rows[i].reason), !postponed);
			deadline_update(c);
			assert_int_equal(c->deadline_us, postponed ? scene.shard.now_us + next_us : before);
		}
		deadline_clear(c);
	}
}

static void none_expires_early_and_all_in_order(void **state)
{
	for (unsigned int i = 0; i < NCONNS; i++) {
		scene.shard.now_us = 1000 + i;
		deadline_update(&scene.conns[i]);
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

static void what_moves_postpones_and_what_does_not_is_the_most_idle(void **state)
{
	deadline_update(&scene.conns[0]);
	deadline_update(&scene.conns[1]);
	scene.shard.now_us = 1050;
	scene.conns[0].moved = MOVED_INPUT;
	deadline_update(&scene.conns[0]);
	deadline_update(&scene.conns[1]);
	assert_ptr_equal(deadline_most_idle(&scene.shard), &scene.conns[1]);
	assert_int_equal(expire_at(1100), 1150);
	assert_int_equal(scene.nexpired, 1);
	assert_ptr_equal(scene.expired[0], &scene.conns[1]);
}

static void on_any_expired(struct conn *c, enum close_reason reason)
{
	scene.expired[scene.nexpired++] = c;
}

/* Looks until one is the last; how many there were. The peer takes something before each of the first
 * @ntakes. */
static unsigned int count_looks(int peer, enum deadline_class class, unsigned int ntakes)
{
	struct conn *c = &scene.conns[0];
	char data[4096];
	unsigned int n = 0;

	scene.nexpired = 0;
	c->opened_us = scene.shard.now_us;
	deadline_clear(c);
	deadline_update(c);
	for (; !scene.nexpired && n < 100; n++) {
		if (n < ntakes)
			assert_int_equal(read(peer, data, sizeof(data)), sizeof(data));
		scene.shard.now_us = c->deadline_us;
		deadline_expire(&scene.shard, class, on_any_expired);
	}
	return n;
}

static void take_all(int peer)
{
	char data[4096];

	while (recv(peer, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
}

static void what_the_peer_takes_postpones(void **state)
{
	struct conn *c = &scene.conns[0];
	char data[4096] = {0};
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(write(fds[0], data, sizeof(data)), sizeof(data));
	c->fd = fds[0];
	c->wr.state = OP_IN_FLIGHT;
	assert_int_equal(count_looks(fds[1], DEADLINE_WRITE, 0), 5);
	assert_int_equal(count_looks(fds[1], DEADLINE_WRITE, 7), 7 + 4);
	c->wr.state = OP_IDLE;
	c->state = CONN_LINGER;
	/* One that takes nothing is not given twice the time. */
	assert_int_equal(count_looks(fds[1], DEADLINE_LINGER, 0), 5);
	assert_int_equal(scene.shard.now_us - c->opened_us, 125);
	assert_int_equal(count_looks(fds[1], DEADLINE_LINGER, 3), 3 + 4);
	take_all(fds[1]);
	assert_int_equal(count_looks(fds[1], DEADLINE_LINGER, 0), 5);
	close(fds[0]);
	close(fds[1]);
}

/* Whether the deadline of @class that is next in @c ends it. */
static bool passes(struct conn *c, enum deadline_class class)
{
	assert_int_equal(c->deadline_class, class);
	scene.nexpired = 0;
	scene.shard.now_us = c->deadline_us;
	deadline_expire(&scene.shard, class, on_any_expired);
	return scene.nexpired;
}

/* All is written, but the peer has not taken it: that is not idle. */
static void what_the_peer_has_yet_to_take_is_not_idle(void **state)
{
	struct conn *c = &scene.conns[0];
	char data[4096] = {0};
	uint64_t since_us;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(write(fds[0], data, sizeof(data)), sizeof(data));
	c->fd = fds[0];
	deadline_update(c);
	assert_false(passes(c, DEADLINE_IDLE));
	for (int i = 0; i < 9; i++) {
		assert_int_equal(read(fds[1], data, sizeof(data)), sizeof(data));
		assert_false(passes(c, DEADLINE_WRITE));
		deadline_update(c); /* nothing has moved: */
		assert_int_equal(c->deadline_class, DEADLINE_WRITE);
	}
	/* From when all was taken, the idle timeout counts. */
	take_all(fds[1]);
	assert_false(passes(c, DEADLINE_WRITE));
	since_us = scene.shard.now_us;
	assert_true(passes(c, DEADLINE_IDLE));
	assert_int_equal(scene.shard.now_us - since_us, 100);
	/* Input is no less a reason. */
	assert_int_equal(write(fds[0], data, sizeof(data)), sizeof(data));
	deadline_update(c);
	assert_false(passes(c, DEADLINE_IDLE));
	c->moved = MOVED_INPUT;
	deadline_update(c);
	assert_false(passes(c, DEADLINE_IDLE));
	/* One that stops taking is ended by the write timeout; without one, by none. */
	for (int i = 0; i < 4; i++)
		assert_false(passes(c, DEADLINE_WRITE));
	assert_true(passes(c, DEADLINE_WRITE));
	set_timeout(scene.group, DEADLINE_WRITE, 0);
	deadline_update(c);
	for (int i = 0; i < 10; i++)
		assert_false(passes(c, DEADLINE_IDLE));
	deadline_clear(c);
	close(fds[0]);
	close(fds[1]);
}

/* Those that arrived while the loop stood still. */
static void bytes_that_have_arrived_are_read_before_a_deadline_ends(void **state)
{
	static const enum phase phases[] = {PHASE_HEAD, PHASE_IDLE};
	struct conn *c = &scene.conns[0];
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	c->fd = fds[0];
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		phase = phases[i];
		deadline_update(c);
		assert_false(passes(c, (enum deadline_class)c->deadline_class));
		/* As long as it applies, it is not put off again. */
		deadline_update(c);
		scene.shard.now_us = deadline_next_look(&scene.shard);
		assert_int_equal(deadline_look(&scene.shard, on_any_expired), 0);
		assert_int_equal(scene.nexpired, 1);
		deadline_update(c);
		assert_false(passes(c, (enum deadline_class)c->deadline_class));
		phase = PHASE_IDLE; /* the rest is here */
		c->moved = MOVED_INPUT;
		deadline_update(c);
		assert_int_equal(deadline_next_look(&scene.shard), 0);
		assert_int_equal(c->deadline_us, scene.shard.now_us + 100);
	}
	deadline_clear(c);
	close(fds[0]);
	close(fds[1]);
}

/* --- requests --- */

static enum close_reason limit;

static enum close_reason fake_limit(void *session)
{
	return limit;
}

static const struct service limited_service = {.name = "limited", .phase = fake_phase, .limit = fake_limit};
static struct endpoint limited_endpoint = {.service = &limited_service};

/* The next look at @c's request; whether it is ended. */
static bool look_ends(struct conn *c)
{
	uint64_t next_us;

	scene.nexpired = 0;
	scene.shard.now_us = c->watch->look_us;
	next_us = deadline_look(&scene.shard, on_any_expired);
	assert_int_equal(next_us, c->watch->look_us);
	return scene.nexpired;
}

static void a_request_under_way_is_looked_at(void **state)
{
	struct conn *c = &scene.conns[0];
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	c->fd = fds[0];
	c->endpoint = &limited_endpoint;
	limit = CLOSE_NONE;
	deadline_update(c);
	assert_int_equal(deadline_look(&scene.shard, on_any_expired), 0);
	phase = PHASE_BODY;
	c->wr.state = OP_IN_FLIGHT; /* whatever it waits for */
	deadline_update(c);
	assert_false(look_ends(c));
	limit = CLOSE_BODY_RATE;
	assert_true(look_ends(c));
	assert_true(deadline_holds(c, CLOSE_BODY_RATE));
	assert_false(deadline_holds(c, CLOSE_REQUEST));
	/* Once it is being cancelled, nothing more is said of it. */
	c->cancel_reason = CLOSE_BODY_RATE;
	assert_false(look_ends(c));
	phase = PHASE_IDLE;
	assert_false(deadline_holds(c, CLOSE_BODY_RATE));
	deadline_update(c);
	assert_int_equal(deadline_look(&scene.shard, on_any_expired), 0);
	close(fds[0]);
	close(fds[1]);
}

static void what_has_arrived_is_read_before_a_limit_is_judged(void **state)
{
	struct conn *c = &scene.conns[0];
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	c->fd = fds[0];
	c->endpoint = &limited_endpoint;
	phase = PHASE_BODY;
	limit = CLOSE_REQUEST;
	deadline_update(c);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_false(look_ends(c));
	assert_true(look_ends(c)); /* but not for ever */
	assert_true(deadline_holds(c, CLOSE_REQUEST));
	limit = CLOSE_NONE;
	assert_false(look_ends(c));
	limit = CLOSE_REQUEST;
	assert_false(deadline_holds(c, CLOSE_REQUEST));
	deadline_clear(c);
	close(fds[0]);
	close(fds[1]);
}

/* Looks for @us, or until one ends @c, which it does then. */
static bool looks_end_within(struct conn *c, uint64_t us)
{
	uint64_t end_us = scene.shard.now_us + us;

	while (scene.shard.now_us < end_us)
		if (look_ends(c))
			return true;
	return false;
}

static void output_has_a_minimum_rate(void **state)
{
	const uint64_t second_us = 1000000;
	struct conn *c = &scene.conns[0];
	char data[4096] = {0};
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	for (int i = 0; i < 30; i++)
		assert_int_equal(write(fds[0], data, sizeof(data)), sizeof(data));
	c->fd = fds[0];
	c->wr.state = OP_IN_FLIGHT;
	deadline_update(c);
	assert_null(c->watch); /* unless that is off */
	scene.group->limits.send_min_rate = 200;
	deadline_update(c);
	/* 200 bytes a second, in one piece of each window. */
	for (int i = 0; i < 4; i++) {
		assert_false(looks_end_within(c, 10 * second_us));
		assert_int_equal(read(fds[1], data, sizeof(data)), sizeof(data));
		assert_false(looks_end_within(c, 10 * second_us));
	}
	assert_false(looks_end_within(c, 15 * second_us));
	/* A stall of the loop is not the peer's. */
	scene.shard.now_us += 30 * second_us;
	scene.nexpired = 0;
	deadline_look(&scene.shard, on_any_expired);
	assert_int_equal(scene.nexpired, 0);
	assert_false(looks_end_within(c, 19 * second_us));
	assert_true(looks_end_within(c, 2 * second_us));
	assert_true(deadline_holds(c, CLOSE_SEND_RATE));
	/* Without anything to take, none is slow. */
	take_all(fds[1]);
	assert_false(looks_end_within(c, 50 * second_us));
	c->wr.state = OP_IDLE;
	c->moved = MOVED_OUTPUT;
	deadline_update(c);
	assert_null(c->watch);
	close(fds[0]);
	close(fds[1]);
}

static void another_class_begins_anew(void **state)
{
	struct conn *c = &scene.conns[0];

	c->wr.state = OP_IN_FLIGHT;
	deadline_update(c);
	scene.shard.now_us = 1050;
	c->wr.state = OP_IDLE;
	c->moved = MOVED_OUTPUT;
	deadline_update(c);
	assert_int_equal(c->deadline_us, 1150);
	assert_true(TAILQ_EMPTY(&scene.group->deadlines[DEADLINE_WRITE]));
}

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

/* The loop slept before it brought what resumes a session: what is armed then must not count from before. */
static void a_resume_reads_the_clock(void **state)
{
	struct conn *c = &scene.conns[0];
	uint64_t before = clock_us();

	c->state = CONN_CLOSING;
	peer_resume(conn_peer(c));
	assert_true(scene.shard.now_us >= before);
}

static void a_class_without_timeout_never_expires(void **state)
{
	set_timeout(scene.group, DEADLINE_IDLE, 0);
	deadline_update(&scene.conns[0]);
	assert_int_equal(scene.conns[0].deadline_class, DEADLINE_NONE);
	assert_int_equal(expire_at(UINT64_MAX), 0);
	assert_null(deadline_most_idle(&scene.shard));
}

static void a_new_timeout_counts_from_now(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		LIST_INSERT_HEAD(&scene.shard.conns, &scene.conns[i], link);
		deadline_update(&scene.conns[i]);
	}
	set_timeout(scene.group, DEADLINE_IDLE, 10);
	scene.shard.now_us = 1050;
	deadline_rearm(&scene.shard);
	assert_int_equal(expire_at(1059), 1060);
	assert_int_equal(expire_at(1060), 0);
	assert_int_equal(scene.nexpired, 2);
}

static void a_timeout_that_was_off_begins_with_a_reload(void **state)
{
	struct conn *c = &scene.conns[0];

	set_timeout(scene.group, DEADLINE_IDLE, 0);
	LIST_INSERT_HEAD(&scene.shard.conns, c, link);
	deadline_update(c);
	set_timeout(scene.group, DEADLINE_IDLE, 10);
	scene.shard.now_us = 1050;
	deadline_rearm(&scene.shard);
	assert_int_equal(expire_at(1059), 1060);
	assert_int_equal(expire_at(1060), 0);
	assert_int_equal(scene.nexpired, 1);
	/* One that is about to end for another reason does not begin to wait. */
	c->cancel_reason = CLOSE_WRITE;
	set_timeout(scene.group, DEADLINE_IDLE, 20);
	deadline_rearm(&scene.shard);
	assert_int_equal(c->deadline_class, DEADLINE_NONE);
}

/* --- listeners with timeouts of their own --- */

/* The first two connections are the scene's group's, the others @group's, which waits for @idle_us. */
static struct conn_group *open_second(uint64_t idle_us)
{
	struct limits limits = scene.group->limits;
	struct conn_group *group;

	limits.timeout_us[DEADLINE_IDLE] = idle_us;
	group = conn_group_create(&scene.shard, &limits);
	assert_non_null(group);
	for (int i = 2; i < NCONNS; i++)
		scene.conns[i].group = group;
	return group;
}

static void assert_expired(struct conn *first, struct conn *second)
{
	assert_int_equal(scene.nexpired, !!first + !!second);
	for (unsigned int i = 0; i < scene.nexpired; i++)
		assert_true(scene.expired[i] == first || scene.expired[i] == second);
	scene.nexpired = 0;
}

static void each_listener_has_its_own_timeouts(void **state)
{
	struct conn_group *second = open_second(30);
	struct conn *c = scene.conns;

	/* Due at 1100 and 1130, and, armed in between, at 1040 and 1060. */
	deadline_update(&c[0]);
	scene.shard.now_us = 1010;
	deadline_update(&c[2]);
	scene.shard.now_us = 1030;
	deadline_update(&c[1]);
	deadline_update(&c[3]);
	assert_int_equal(expire_at(1039), 1040);
	assert_expired(NULL, NULL);
	assert_int_equal(expire_at(1040), 1060);
	assert_expired(&c[2], NULL);
	assert_int_equal(expire_at(1060), 1100);
	assert_expired(&c[3], NULL);
	assert_int_equal(expire_at(1129), 1130);
	assert_expired(&c[0], NULL);
	assert_int_equal(expire_at(1130), 0);
	assert_expired(&c[1], NULL);
	conn_group_put(second);
}

/* What the worker's timer goes by: it waits for the longer timeout when the shorter one is armed. */
static void the_first_deadline_of_a_list_is_announced(void **state)
{
	struct conn_group *second = open_second(30);
	uint64_t *soonest_us = &scene.shard.soonest_us[DEADLINE_IDLE];
	struct conn *c = scene.conns;

	deadline_update(&c[0]);
	assert_int_equal(*soonest_us, 1100);
	deadline_update(&c[2]);
	assert_int_equal(*soonest_us, 1030);
	*soonest_us = 0; /* the worker has seen it */
	scene.shard.now_us = 1010;
	deadline_update(&c[1]);
	deadline_update(&c[3]);
	assert_int_equal(*soonest_us, 0); /* neither comes before what is known */
	assert_int_equal(expire_at(1040), 1100);
	assert_expired(&c[2], &c[3]);
	c[2].deadline_class = DEADLINE_NONE;
	deadline_update(&c[2]);
	assert_int_equal(*soonest_us, 1070);
	deadline_clear(&c[0]);
	deadline_clear(&c[1]);
	deadline_clear(&c[2]);
	conn_group_put(second);
}

static void new_limits_of_a_listener_leave_the_others_alone(void **state)
{
	struct conn_group *second = open_second(30);
	struct conn *c = scene.conns;

	for (unsigned int i = 0; i < NCONNS; i++)
		LIST_INSERT_HEAD(&scene.shard.conns, &c[i], link);
	for (unsigned int i = 0; i < NCONNS; i++) {
		scene.shard.now_us = 1000 + 10 * i;
		deadline_update(&c[i]);
	}
	scene.shard.soonest_us[DEADLINE_IDLE] = 0;
	set_timeout(second, DEADLINE_IDLE, 50);
	set_timeout(scene.group, DEADLINE_IDLE, 100); /* as it is */
	deadline_rearm(&scene.shard);
	assert_int_equal(scene.shard.soonest_us[DEADLINE_IDLE], 1080);
	assert_int_equal(c[0].deadline_us, 1100);
	assert_int_equal(c[1].deadline_us, 1110);
	assert_int_equal(expire_at(1079), 1080);
	assert_int_equal(expire_at(1080), 1100);
	assert_expired(&c[2], &c[3]);
	assert_int_equal(expire_at(1110), 0);
	assert_expired(&c[0], &c[1]);
	conn_group_put(second);
}

/* Longer idle, though its deadline comes later. */
static void the_most_idle_is_found_among_all_listeners(void **state)
{
	struct conn_group *second = open_second(30);
	struct conn *c = scene.conns;

	deadline_update(&c[0]);
	scene.shard.now_us = 1010;
	deadline_update(&c[2]);
	assert_true(c[2].deadline_us < c[0].deadline_us);
	assert_ptr_equal(deadline_most_idle(&scene.shard), &c[0]);
	assert_ptr_equal(deadline_most_idle_of(scene.group), &c[0]);
	assert_ptr_equal(deadline_most_idle_of(second), &c[2]);
	deadline_clear(&c[0]);
	assert_ptr_equal(deadline_most_idle(&scene.shard), &c[2]);
	assert_null(deadline_most_idle_of(scene.group));
	deadline_clear(&c[2]);
	assert_null(deadline_most_idle(&scene.shard));
	conn_group_put(second);
}

static struct conn_group *leaving;

static void on_last_expired(struct conn *c, enum close_reason reason)
{
	scene.expired[scene.nexpired++] = c;
	if (leaving)
		conn_group_put(leaving);
	leaving = NULL;
}

/* Its listener is gone, and the last of its connections ends while groups are walked. */
static void a_group_may_end_with_its_last_connection(void **state)
{
	leaving = open_second(30);
	deadline_update(&scene.conns[0]);
	deadline_update(&scene.conns[2]);
	scene.shard.now_us = 1100;
	assert_int_equal(deadline_expire(&scene.shard, DEADLINE_IDLE, on_last_expired), 0);
	assert_expired(&scene.conns[0], &scene.conns[2]);
	assert_ptr_equal(LIST_FIRST(&scene.shard.groups), scene.group);
	assert_null(LIST_NEXT(scene.group, link));
}

#define SCENE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_has_a_step),
		cmocka_unit_test(every_state_has_its_name),
		cmocka_unit_test(every_reason_has_its_words_and_its_counter),
		SCENE_TEST(the_state_says_which_deadline_counts),
		SCENE_TEST(none_expires_early_and_all_in_order),
		SCENE_TEST(what_moves_postpones_and_what_does_not_is_the_most_idle),
		SCENE_TEST(what_the_peer_takes_postpones),
		SCENE_TEST(what_the_peer_has_yet_to_take_is_not_idle),
		SCENE_TEST(bytes_that_have_arrived_are_read_before_a_deadline_ends),
		SCENE_TEST(a_request_under_way_is_looked_at),
		SCENE_TEST(what_has_arrived_is_read_before_a_limit_is_judged),
		SCENE_TEST(output_has_a_minimum_rate),
		SCENE_TEST(another_class_begins_anew),
		SCENE_TEST(a_resume_is_for_serve_alone),
		SCENE_TEST(a_step_for_a_thread_waits_for_the_write_under_way),
		SCENE_TEST(what_ends_a_handshake_in_a_thread_does_so_at_once),
		SCENE_TEST(a_resume_reads_the_clock),
		SCENE_TEST(a_class_without_timeout_never_expires),
		SCENE_TEST(a_new_timeout_counts_from_now),
		SCENE_TEST(a_timeout_that_was_off_begins_with_a_reload),
		SCENE_TEST(each_listener_has_its_own_timeouts),
		SCENE_TEST(the_first_deadline_of_a_list_is_announced),
		SCENE_TEST(new_limits_of_a_listener_leave_the_others_alone),
		SCENE_TEST(the_most_idle_is_found_among_all_listeners),
		SCENE_TEST(a_group_may_end_with_its_last_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
