/* SPDX-License-Identifier: MIT */
/*
 * Cancel and the peer at the same moment, and sleep against wake-up.
 *
 * A race is forced, not hoped for: a gate starts both sides together, and a head start for one of them is
 * steered after each round towards the point where the outcome tips over. Each case counts the outcomes and
 * fails if one of them hardly occurred, because then it was not a race.
 */
#include "suite.h"

#include "tests/case/gate.h"

#include <errno.h>

#define SETTLE_TURNS 20000 /* some microseconds */

/* The rounds of a case whose round costs @times as much; enough of them to see both outcomes. */
static long rounds_part(const struct scene *s, long times)
{
	long rounds = s->rounds / times;

	return rounds < 500 ? 500 : rounds;
}

struct race {
	struct gate gate;
	struct steer steers[2];
	struct outcomes outcomes;
};

static void race_start(struct race *race, struct scene *s, long rounds,
		       void (*step)(struct gate *gate, long round))
{
	race->gate.step = step;
	race->gate.s = s;
	race->gate.rounds = rounds;
	race->steers[0].is_wide = race->steers[1].is_wide = true;
	gate_start(&race->gate);
}

static void outcomes_check(const struct outcomes *outcomes, long rounds)
{
	note("%ld rounds: %ld delivered (%ld after cancel), %ld cancelled", rounds, outcomes->delivered,
	     outcomes->late, outcomes->cancelled);
	CHECK_EQ(outcomes->delivered + outcomes->cancelled, rounds);
	CHECK(outcomes->delivered >= OUTCOMES_MIN);
	CHECK(outcomes->cancelled >= OUTCOMES_MIN);
}

/*
 * Counts the outcome of an operation for which cancel returned @ret; true if the peer was first. -ENOENT
 * means that the event was already there, with its own result.
 */
static bool outcome_take(struct scene *s, struct op *op, int ret, struct outcomes *outcomes)
{
	bool delivered = await(s, op) != -ECANCELED;

	if (!delivered)
		CHECK_EQ(ret, 0);
	outcomes->late += delivered && ret == 0;
	outcomes->delivered += delivered;
	outcomes->cancelled += !delivered;
	return delivered;
}

/* An event that was handed out leaves nothing to cancel. */
static int cancel_checked(struct scene *s, struct op *op)
{
	bool handed_out = op->events;
	int ret = op_cancel(s, op);

	if (handed_out)
		CHECK_EQ(ret, -ENOENT);
	return ret;
}

/*
 * One operation, already submitted, against the peer's step. An engine that moves data on the ring's thread
 * alone (poll, epoll) can deliver only in a reap, so every other round has one just before the cancel, and
 * steers; the rounds without run at the same point, where the wake-up meets the cancel inside the engine.
 * Half of the rounds give the operation time to fall asleep first.
 */
static bool race_run(struct scene *s, struct race *race, long round, struct op *op)
{
	bool reaps = round & 1, settles = round & 2, delivered;
	struct steer *steer = &race->steers[settles];

	if (settles)
		spin(SETTLE_TURNS);
	gate_open(&race->gate, round, steer->head_start);
	if (reaps)
		collect(s, 0);
	delivered = outcome_take(s, op, cancel_checked(s, op), &race->outcomes);
	if (reaps)
		steer_to(steer, delivered);
	return delivered;
}

static void write_byte(struct gate *gate, long round)
{
	uint8_t byte = (uint8_t)round;

	peer_write(gate->s->links[0], &byte, 1);
}

/*
 * One byte a round. A cancelled round's byte must be what the next read gets, so that a byte lost or
 * doubled in any round shows at once.
 */
TEST_CASE(cancel_raced_with_data, ON(WAITING), AS(CASE_RACE))
{
	struct race race = {0};
	struct link *link = scene_open(s, 8);
	struct op op;
	uint8_t byte;

	race_start(&race, s, rounds_part(s, 1), write_byte);
	for (long round = 1; round <= race.gate.rounds; round++) {
		read_start(s, &op, link->afd_in, &byte, 1);
		if (!race_run(s, &race, round, &op)) {
			read_start(s, &op, link->afd_in, &byte, 1);
			await(s, &op);
		}
		CHECK_EQ(op.res, 1);
		CHECK_EQ(byte, (uint8_t)round);
	}
	gate_join(&race.gate);
	outcomes_check(&race.outcomes, race.gate.rounds);
	stay_quiet(s);
}

static void read_all_there_is(struct gate *gate, long round)
{
	static char buf[1 << 18];
	size_t n;

	while ((n = peer_read_some(gate->s->links[0], buf, sizeof(buf)))) {
		pattern_check(buf, n, gate->nbytes, 4);
		gate->nbytes += n;
	}
}

/* A write waits for room and the peer makes room: what events report as written is what the peer receives. */
TEST_CASE(cancel_raced_with_room, ON(WAITING), AS(CASE_RACE))
{
	struct race race = {0};
	struct gate *gate = &race.gate;
	uint64_t written = 0;
	struct link *link = scene_open(s, 8);
	struct op op;
	char buf[4096], rest;

	race_start(&race, s, rounds_part(s, 50), read_all_there_is);
	for (long round = 1; round <= gate->rounds; round++) {
		written += fill_(s, link, written, 4, 0);
		pattern_fill(buf, sizeof(buf), written, 4);
		write_start(s, &op, link->afd_out, buf, sizeof(buf));
		if (race_run(s, &race, round, &op)) {
			CHECK(op.res > 0);
			written += (uint64_t)op.res;
		}
		gate_pass(gate, round);
	}
	gate_join(gate);
	for (; gate->nbytes < written; gate->nbytes++) {
		peer_read(link, &rest, 1);
		pattern_check(&rest, 1, gate->nbytes, 4);
	}
	CHECK_EQ(gate->nbytes, written);
	CHECK(!is_readable(link->peer_in, 20));
	outcomes_check(&race.outcomes, gate->rounds);
}

static void close_peer(struct gate *gate, long round)
{
	link_peer_close(gate->s->links[0]);
}

/* A new link a round: the end of the stream is reported or the cancel is. */
TEST_CASE(cancel_raced_with_peer_close, ON(STREAMS), AS(CASE_RACE))
{
	struct race race = {0};
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;

	race_start(&race, s, rounds_part(s, 100), close_peer);
	for (long round = 1; round <= race.gate.rounds; round++) {
		read_start(s, &op, link->afd_in, &byte, 1);
		if (race_run(s, &race, round, &op))
			CHECK_EQ(op.res, 0);
		gate_pass(&race.gate, round);
		link_renew(s, link);
	}
	gate_join(&race.gate);
	outcomes_check(&race.outcomes, race.gate.rounds);
}

#define HERD 32

static void write_to_each(struct gate *gate, long round)
{
	for (unsigned int i = 0; i < HERD; i++)
		peer_write(gate->s->links[i], "x", 1);
}

static void herd_start(struct scene *s, struct op *ops, char *bytes)
{
	for (unsigned int i = 0; i < HERD; i++)
		read_start(s, &ops[i], s->links[i]->afd_in, &bytes[i], 1);
}

/* Many reads wait; the peer writes from the first link to the last while they are cancelled from the last. */
TEST_CASE(herd_cancel_raced_with_data, ON(WAITING), AS(CASE_RACE))
{
	struct race race = {0};
	static struct op ops[HERD];
	static char bytes[HERD];
	int rets[HERD];

	scene_ring(s, HERD, 0);
	for (unsigned int i = 0; i < HERD; i++)
		scene_link(s);
	race_start(&race, s, rounds_part(s, 500), write_to_each);
	for (long round = 1; round <= race.gate.rounds; round++) {
		long before = race.outcomes.delivered;

		herd_start(s, ops, bytes);
		gate_open(&race.gate, round, race.steers[0].head_start);
		if (round & 1)
			collect(s, 0);
		for (unsigned int i = HERD; i-- > 0;)
			rets[i] = cancel_checked(s, &ops[i]);
		for (unsigned int i = 0; i < HERD; i++) {
			if (!outcome_take(s, &ops[i], rets[i], &race.outcomes)) {
				read_start(s, &ops[i], s->links[i]->afd_in, &bytes[i], 1);
				await(s, &ops[i]);
			}
			CHECK_EQ(ops[i].res, 1);
		}
		if (round & 1)
			steer_to(&race.steers[0], race.outcomes.delivered - before > HERD / 2);
		gate_pass(&race.gate, round);
	}
	gate_join(&race.gate);
	outcomes_check(&race.outcomes, race.gate.rounds * HERD);
}

/* The peer writes around the moment at which the ring's thread goes to sleep on taio_fd(). */
TEST_CASE(sleep_on_fd_never_misses_an_event, ON(WAITING), AS(CASE_RACE))
{
	struct gate gate = {.rounds = rounds_part(s, 10), .step = write_byte, .s = s};
	struct link *link;
	struct op op;
	uint8_t byte;

	s->by_fd = true;
	link = scene_open(s, 8);
	gate_start(&gate);
	for (long round = 1; round <= gate.rounds; round++) {
		read_start(s, &op, link->afd_in, &byte, 1);
		gate_open(&gate, round, -(round * 7 % 4000));
		CHECK_EQ(await(s, &op), 1);
		CHECK_EQ(byte, (uint8_t)round);
	}
	gate_join(&gate);
	note("%ld rounds", gate.rounds);
	stay_quiet(s);
}
