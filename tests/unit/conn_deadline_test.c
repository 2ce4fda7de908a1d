/* SPDX-License-Identifier: MIT */
/* Deadlines keep their order: of a connection's states, of requests. No ring. */
#include "conn_scene.h"

#include "base/clock.h"
#include "server/conn/fsm.h"

#include <sys/socket.h>
#include <unistd.h>

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
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
		SCENE_TEST(a_class_without_timeout_never_expires),
		SCENE_TEST(a_new_timeout_counts_from_now),
		SCENE_TEST(a_timeout_that_was_off_begins_with_a_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
