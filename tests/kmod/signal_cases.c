/* SPDX-License-Identifier: MIT */
/*
 * A cancel of policy BLOCK is a signal to a helper, and helpers go from one operation to the next: the signal
 * must end the operation that it is for and no other. A handful of helpers serves operations that are
 * cancelled and such that are not; of the latter none may show a trace of it. At the end no helper has a
 * signal pending.
 */
#include "kmod.h"
#include "tests/case/gate.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HELPERS 4 /* of which reads may have three: a quarter is for writes */
#define READERS 3
#define CROWD	8 /* as many operations, where those above the cap can be parked */

/* One helper in three is free at a time: each serves the cancelled and the others in turn. */
struct crowd {
	struct op ops[CROWD];
	char bytes[CROWD];
	unsigned int n, chosen; /* @chosen: by the gate's thread as well, in its step */
	long cancelled, delivered, raced_cancelled, raced_delivered;
};

static void helpers_limit(void)
{
	param_set("helpers_max", HELPERS);
	param_set("user_max", HELPERS);
}

static void pending_check(const char *pid)
{
	char path[288], line[256];
	uint64_t mask;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "SigPnd: %jx", &mask) == 1 || sscanf(line, "ShdPnd: %jx", &mask) == 1)
			CHECK_EQ(mask, 0);
	if (file)
		fclose(file);
}

/* Of the idle helpers; returns how many there are. */
static unsigned int helpers_check(void)
{
	DIR *dir = opendir("/proc");
	unsigned int count = 0;
	struct dirent *entry;
	char path[288], comm[64];

	CHECK(dir);
	while ((entry = readdir(dir))) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(comm, sizeof(comm), file) && !strncmp(comm, "taio/", 5)) {
			pending_check(entry->d_name);
			count++;
		}
		fclose(file);
	}
	closedir(dir);
	return count;
}

static void crowd_start(struct scene *s, struct crowd *crowd, unsigned int i)
{
	read_start(&s->ring, &crowd->ops[i], s->links[i]->afd_in, &crowd->bytes[i], 1);
}

static void crowd_ends(struct scene *s, struct crowd *crowd, unsigned int i, long want)
{
	CHECK_EQ(await(&s->ring, &crowd->ops[i]), want);
}

/* Nothing has happened to any operation that is in flight. */
static void crowd_check(struct scene *s, struct crowd *crowd)
{
	collect(&s->ring, 0);
	for (unsigned int i = 0; i < crowd->n; i++)
		if (crowd->ops[i].events)
			fail_at(HERE(), "an operation that nobody touched has ended with %ld",
				crowd->ops[i].res);
}

static void write_to_chosen(struct gate *gate, long round)
{
	struct crowd *crowd = gate->arg;

	peer_write(gate->s->links[crowd->chosen], "x", 1);
}

static void cancel_one(struct scene *s, struct crowd *crowd, unsigned int i)
{
	if (random_below(2))
		CHECK_EQ(op_cancel(&s->ring, &crowd->ops[i]), 0);
	else
		CHECK_EQ(proxy_cancel(s->links[i]->afd_in), 1);
	crowd_ends(s, crowd, i, -ECANCELED);
	crowd->cancelled++;
}

/* Cancel and data together: a signal that is late for the operation it was sent for. */
static void race_one(struct gate *gate, struct crowd *crowd, struct steer *steer, long round)
{
	struct scene *s = gate->s;
	unsigned int i = crowd->chosen;
	bool delivered;

	gate_open(gate, round, steer->head_start);
	op_cancel(&s->ring, &crowd->ops[i]);
	delivered = await(&s->ring, &crowd->ops[i]) != -ECANCELED;
	steer_to(steer, delivered);
	/* Not until the helper has another operation, in the other half of the cases. */
	if (delivered || random_below(2))
		gate_pass(gate, round);
	if (!delivered) {
		crowd_start(s, crowd, i);
		await(&s->ring, &crowd->ops[i]);
	}
	CHECK_EQ(crowd->ops[i].res, 1);
	crowd->raced_delivered += delivered;
	crowd->raced_cancelled += !delivered;
	gate_pass(gate, round);
}

TEST_CASE(cancels_disturb_no_other_op, ON(STREAMS), AS(CASE_LONG | CASE_BLOCK | CASE_WORKER))
{
	static struct crowd crowd;
	struct gate gate = {
		.rounds = s->rounds / 4, .step = write_to_chosen, .s = s, .arg = &crowd, .is_pinned = true};
	struct steer steer = {0};

	helpers_limit();
	crowd.n = s->kind == LINK_TTY ? READERS : CROWD;
	scene_ring(s, CROWD);
	for (unsigned int i = 0; i < crowd.n; i++) {
		scene_link(s);
		crowd_start(s, &crowd, i);
	}
	gate_start(&gate);
	for (long round = 1; round <= gate.rounds; round++) {
		unsigned int i = (unsigned int)random_below(crowd.n);

		cancel_one(s, &crowd, i);
		crowd_start(s, &crowd, i);
		crowd.chosen = (unsigned int)random_below(crowd.n);
		race_one(&gate, &crowd, &steer, round);
		crowd_start(s, &crowd, crowd.chosen);
		i = (unsigned int)random_below(crowd.n);
		peer_write(s->links[i], "y", 1);
		crowd_ends(s, &crowd, i, 1);
		crowd.delivered++;
		crowd_start(s, &crowd, i);
		crowd_check(s, &crowd);
	}
	gate_join(&gate);
	for (unsigned int i = 0; i < crowd.n; i++)
		cancel_one(s, &crowd, i);
	note("%u helpers: %ld cancelled, %ld delivered; raced %ld cancelled, %ld delivered", helpers_check(),
	     crowd.cancelled, crowd.delivered, crowd.raced_cancelled, crowd.raced_delivered);
	CHECK(crowd.raced_cancelled >= OUTCOMES_MIN);
	CHECK(crowd.raced_delivered >= OUTCOMES_MIN);
}

#define FILE_OPS 8
#define FILE_OP	 65536

/*
 * Writes to a file, every other one of them cancelled: the others are complete, not short, not interrupted.
 * How many are still there to be cancelled depends on the machine, so it goes on until enough were.
 */
TEST_CASE(cancels_disturb_no_file_op, ON(FILE), AS(CASE_LONG | CASE_BLOCK | CASE_WORKER))
{
	static char buf[FILE_OP], seen[FILE_OP];
	static struct op ops[FILE_OPS];
	/* INLINE may leave nothing to cancel. */
	const long enough = s->flags & TAIO_ATTACH_INLINE ? 0 : OUTCOMES_MIN;
	long rounds = s->rounds / 50 + 1, round, cancelled = 0;
	struct link *link;

	helpers_limit();
	link = scene_open(s, FILE_OPS);
	for (round = 1; round <= rounds || (cancelled < enough && round <= rounds * 10); round++) {
		pattern_fill(buf, sizeof(buf), 0, (uint64_t)round);
		for (unsigned int i = 0; i < FILE_OPS; i++) {
			op_write(&ops[i], link->afd_in, buf, FILE_OP);
			ops[i].iocb.u.c.offset = (long long)i * FILE_OP;
			op_start(&s->ring, &ops[i]);
		}
		spin((long)random_below(1UL << random_below(20)));
		for (unsigned int i = round & 1; i < FILE_OPS; i += 2)
			op_cancel(&s->ring, &ops[i]);
		for (unsigned int i = 0; i < FILE_OPS; i++) {
			await(&s->ring, &ops[i]);
			if ((i ^ (unsigned int)round) & 1) {
				CHECK_EQ(ops[i].res, FILE_OP);
				CHECK_EQ(pread(link->in, seen, FILE_OP, (off_t)i * FILE_OP), FILE_OP);
				CHECK(!memcmp(seen, buf, FILE_OP));
			}
			cancelled += ops[i].res == -ECANCELED;
		}
	}
	note("%u helpers: %ld writes, %ld of them cancelled", helpers_check(), (round - 1) * FILE_OPS,
	     cancelled);
	CHECK(cancelled >= enough);
}
