/* SPDX-License-Identifier: MIT */
/*
 * Cancels of reads and writes of a regular file, which do not wait for anybody: the time to cancel one is
 * from io_submit(2) to the end of its helper's work, and the helper may be done before the submitter is back.
 * So the gate's thread cancels, at the moment at which io_submit(2) returns, and by turns the submitter does
 * so as well.
 */
#include "kmod.h"
#include "tests/case/gate.h"

#include <errno.h>
#include <unistd.h>

#define BLOCK	   4096
#define NBLOCKS	   16
#define BLOCK_AT   (off_t) BLOCK
#define JITTER_LOG 17

struct file_race {
	struct op op;
	int proxy;
	_Atomic bool returned; /* io_submit(2) has */
	bool late;	       /* it had when the cancel began */
	long delivered, cancelled;
	uint64_t owners[NBLOCKS]; /* round whose pattern is in the block */
};

static void cancel_step(struct gate *gate, long round)
{
	struct file_race *race = gate->arg;

	race->late = atomic_load(&race->returned);
	if (round & 1)
		proxy_cancel(race->proxy);
	else
		op_cancel(&gate->s->ring, &race->op);
}

/* The bytes that the operation has moved; 0 if it was cancelled before. */
static size_t file_race_run(struct gate *gate, struct steer *steer, long round)
{
	struct file_race *race = gate->arg;
	long jitter = 1L << random_below(JITTER_LOG), res;
	struct ring *ring = &gate->s->ring;

	atomic_store(&race->returned, false);
	gate_open(gate, round, steer->head_start + (long)random_below((uint64_t)(2 * jitter)) - jitter);
	op_start(ring, &race->op);
	atomic_store(&race->returned, true);
	if (round & 2)
		op_cancel(ring, &race->op);
	gate_pass(gate, round);
	steer_to(steer, !race->late);
	res = await(ring, &race->op);
	race->cancelled += res == -ECANCELED;
	race->delivered += res != -ECANCELED;
	if (res == -ECANCELED)
		return 0;
	CHECK(res > 0 && res <= BLOCK);
	return (size_t)res;
}

/* What of @block is of round @now must be a prefix of @nbytes; the rest is of round @before. */
static void block_check(const char *block, size_t nbytes, uint64_t before, uint64_t now)
{
	pattern_check(block, nbytes, 0, now);
	pattern_check(block + nbytes, BLOCK - nbytes, nbytes, before);
}

static void read_round(struct gate *gate, struct steer *steer, long round, unsigned int i)
{
	struct file_race *race = gate->arg;
	char buf[BLOCK];
	size_t moved;

	pattern_fill(buf, BLOCK, 0, (uint64_t)round);
	op_read(&race->op, race->proxy, buf, BLOCK);
	race->op.iocb.u.c.offset = i * BLOCK_AT;
	moved = file_race_run(gate, steer, round);
	block_check(buf, moved, (uint64_t)round, race->owners[i]);
}

static void write_round(struct gate *gate, struct steer *steer, long round, unsigned int i)
{
	int fd = gate->s->links[0]->in;
	struct file_race *race = gate->arg;
	char buf[BLOCK], seen[BLOCK];
	size_t moved;

	pattern_fill(buf, BLOCK, 0, (uint64_t)round);
	op_write(&race->op, race->proxy, buf, BLOCK);
	race->op.iocb.u.c.offset = i * BLOCK_AT;
	moved = file_race_run(gate, steer, round);
	CHECK_EQ(pread(fd, seen, BLOCK, i * BLOCK_AT), BLOCK);
	block_check(seen, moved, race->owners[i], (uint64_t)round);
	CHECK_EQ(pwrite(fd, buf, BLOCK, i * BLOCK_AT), BLOCK);
	race->owners[i] = (uint64_t)round;
}

/* Writes and reads by turns; a block carries the number of the round that wrote it. */
TEST_CASE(cancel_raced_with_file, ON(FILE), AS(CASE_LONG))
{
	static struct file_race race;
	struct gate gate = {
		.rounds = s->rounds, .step = cancel_step, .s = s, .arg = &race, .is_pinned = true};
	struct steer steers[2] = {0};
	char buf[BLOCK];

	scene_ring(s, 8);
	race.proxy = scene_link(s)->afd_in;
	pattern_fill(buf, sizeof(buf), 0, 0);
	for (unsigned int i = 0; i < NBLOCKS; i++)
		CHECK_EQ(pwrite(s->links[0]->in, buf, BLOCK, i * BLOCK_AT), BLOCK);
	gate_start(&gate);
	for (long round = 1; round <= gate.rounds; round++) {
		unsigned int i = (unsigned int)random_below(NBLOCKS);

		if (round & 4)
			write_round(&gate, &steers[0], round, i);
		else
			read_round(&gate, &steers[1], round, i);
	}
	gate_join(&gate);
	note("%ld ops: %ld delivered, %ld cancelled", gate.rounds, race.delivered, race.cancelled);
	CHECK(race.delivered >= OUTCOMES_MIN);
	/* INLINE may leave nothing to cancel, where the file can say that it would not wait. */
	CHECK(race.cancelled >= OUTCOMES_MIN || s->flags & TAIO_ATTACH_INLINE);
}
