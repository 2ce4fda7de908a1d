/* SPDX-License-Identifier: MIT */
/*
 * The moments in which an operation is being armed: a cancel or the data that comes while io_submit(2) is
 * still at it, and herds, where helpers and wake functions meet.
 */
#include "kmod.h"
#include "tests/case/gate.h"

#include <errno.h>

#define HERD 16

/* Of the canceller in the gate's thread. */
struct canceller {
	struct op op;
	int proxy;
	bool asked; /* it has found the operation */
};

static void cancel_step(struct gate *gate, long round)
{
	struct canceller *canceller = gate->arg;

	if (round & 1)
		canceller->asked = proxy_cancel(canceller->proxy) > 0;
	else
		canceller->asked = op_cancel(&gate->s->ring, &canceller->op) == 0;
}

/* Nothing but a cancel can end these reads; it comes before, within and after the submit. */
TEST_CASE(cancel_raced_with_submit, ON(STREAMS), AS(CASE_LONG))
{
	static struct canceller canceller;
	struct gate gate = {
		.rounds = s->rounds, .step = cancel_step, .s = s, .arg = &canceller, .is_pinned = true};
	struct steer steers[2] = {0};
	long asked[2] = {0};
	struct link *link = scene_open(s, 8);
	char byte;

	canceller.proxy = link->afd_in;
	gate_start(&gate);
	for (long round = 1; round <= gate.rounds; round++) {
		op_read(&canceller.op, link->afd_in, &byte, 1);
		gate_open(&gate, round, steers[round & 1].head_start);
		op_start(&s->ring, &canceller.op);
		gate_pass(&gate, round);
		if (!canceller.asked)
			CHECK_EQ(op_cancel(&s->ring, &canceller.op), 0);
		CHECK_EQ(await(&s->ring, &canceller.op), -ECANCELED);
		asked[round & 1] += canceller.asked;
		steer_to(&steers[round & 1], !canceller.asked);
	}
	gate_join(&gate);
	note("%ld ops, met by the other thread's io_cancel %ld, ioctl %ld", gate.rounds, asked[0], asked[1]);
	for (unsigned int i = 0; i < 2; i++) {
		CHECK(asked[i] >= OUTCOMES_MIN);
		CHECK(gate.rounds / 2 - asked[i] >= OUTCOMES_MIN);
	}
}

static void write_byte(struct gate *gate, long round)
{
	char byte = (char)round;

	peer_write(gate->s->links[0], &byte, 1);
}

/*
 * Data before, within and after the submit: a wake-up that is lost leaves the read waiting. The moment that
 * counts is near the end of both calls, so that is what is steered for: which of them returns first.
 */
TEST_CASE(submit_raced_with_data, ON(STREAMS), AS(CASE_LONG))
{
	struct gate gate = {.rounds = s->rounds, .step = write_byte, .s = s, .is_pinned = true};
	struct steer steer = {0};
	struct link *link = scene_open(s, 8);
	long written = 0;
	struct op op;
	char byte;

	gate_start(&gate);
	for (long round = 1; round <= gate.rounds; round++) {
		long jitter = 1L << random_below(11);
		bool peer_won;

		op_read(&op, link->afd_in, &byte, 1);
		gate_open(&gate, round,
			  steer.head_start + (long)random_below((uint64_t)(2 * jitter)) - jitter);
		op_start(&s->ring, &op);
		peer_won = atomic_load(&gate.done) == round;
		steer_to(&steer, peer_won);
		written += peer_won;
		CHECK_EQ(await(&s->ring, &op), 1);
		CHECK_EQ(byte, (char)round);
		gate_pass(&gate, round);
	}
	gate_join(&gate);
	note("%ld ops; in %ld of them the data was written before io_submit returned", gate.rounds, written);
	CHECK(written >= OUTCOMES_MIN);
	CHECK(gate.rounds - written >= OUTCOMES_MIN);
}

struct herd {
	struct op ops[HERD];
	char bytes[HERD];
	long delivered, cancelled;
};

static void write_to_each(struct gate *gate, long round)
{
	char byte = (char)round;

	for (unsigned int i = 0; i < HERD; i++)
		peer_write(gate->s->links[i], &byte, 1);
}

static void herd_start(struct scene *s, struct herd *herd)
{
	for (unsigned int i = 0; i < HERD; i++)
		read_start(&s->ring, &herd->ops[i], s->links[i]->afd_in, &herd->bytes[i], 1);
}

/* From the last to the first, while the peer writes from the first to the last. */
static void herd_cancel(struct scene *s, struct herd *herd, long round)
{
	for (unsigned int i = HERD; i-- > 0;) {
		if (round & 1)
			op_cancel(&s->ring, &herd->ops[i]);
		else
			proxy_cancel(s->links[i]->afd_in);
	}
}

/* Every link has given its byte of the round by now, or gives it to one more read. */
static void herd_finish(struct scene *s, struct herd *herd, long round)
{
	for (unsigned int i = 0; i < HERD; i++) {
		struct op *op = &herd->ops[i];
		bool cancelled = await(&s->ring, op) == -ECANCELED;

		herd->cancelled += cancelled;
		herd->delivered += !cancelled;
		if (cancelled) {
			read_start(&s->ring, op, s->links[i]->afd_in, &herd->bytes[i], 1);
			await(&s->ring, op);
		}
		CHECK_EQ(op->res, 1);
		CHECK_EQ(herd->bytes[i], (char)round);
	}
}

TEST_CASE(herd_cancel_raced_with_data, ON(STREAMS), AS(CASE_LONG))
{
	struct gate gate = {
		.rounds = s->rounds / HERD + 20, .step = write_to_each, .s = s, .is_pinned = true};
	static struct herd herd;
	struct steer steer = {0};

	scene_ring(s, HERD);
	for (unsigned int i = 0; i < HERD; i++)
		scene_link(s);
	gate_start(&gate);
	for (long round = 1; round <= gate.rounds; round++) {
		long before = herd.delivered;

		herd_start(s, &herd);
		gate_open(&gate, round, steer.head_start);
		herd_cancel(s, &herd, round);
		herd_finish(s, &herd, round);
		steer_to(&steer, herd.delivered - before > HERD / 2);
		gate_pass(&gate, round);
	}
	gate_join(&gate);
	note("%ld ops: %ld delivered, %ld cancelled", gate.rounds * HERD, herd.delivered, herd.cancelled);
	CHECK_EQ(herd.delivered + herd.cancelled, gate.rounds * HERD);
	CHECK(herd.delivered >= OUTCOMES_MIN);
	CHECK(herd.cancelled >= OUTCOMES_MIN);
}
