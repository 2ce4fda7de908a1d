/* SPDX-License-Identifier: MIT */
/*
 * Time inside io_submit(2): one read from a TCP socket, with nothing to read there and with something, in
 * turn. Before each the same clock times system calls that do nothing, so many that they take as long as a
 * submission: what the machine puts on top of any code (interrupts, emulation) shows there. Calls that slept
 * inside, or were preempted, are counted apart, as no clock tells them from bad luck.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NBYTES 64
#define WARM   500 /* rounds of each that are not counted: helpers get started, and lengths known */

enum column { NULL_CALL, ABSENT, READY, COLUMNS };

static const char *const column_names[COLUMNS] = {"null", "absent", "ready"};

struct measurement {
	struct samples columns[COLUMNS];
	long slept, preempted; /* submissions with nothing to read */
	unsigned int nnulls;
};

static uint64_t null_time(unsigned int n)
{
	uint64_t began = now_ns();

	while (n--)
		syscall(SYS_getppid);
	return now_ns() - began;
}

static struct rusage usage_now(void)
{
	struct rusage usage;

	CHECK_EQ(getrusage(RUSAGE_THREAD, &usage), 0);
	return usage;
}

static uint64_t submit_time(struct ring *ring, struct op *op)
{
	struct iocb *iocb = &op->iocb;
	uint64_t began, ended;
	int ret;

	iocb->data = (void *)++op->seq;
	began = now_ns();
	ret = io_submit(ring->ctx, 1, &iocb);
	ended = now_ns();
	CHECK_EQ(ret, 1);
	ring->inflight++;
	return ended - began;
}

static void round_run(struct scene *s, struct link *link, bool is_ready, struct measurement *m)
{
	char there[NBYTES] = {0}, here[NBYTES];
	struct rusage before, after;
	struct op op = {0};

	op_read(&op, link->afd_in, here, NBYTES);
	if (is_ready) {
		peer_write(link, there, NBYTES);
		CHECK(is_readable(link->in, 10000));
	}
	samples_add(&m->columns[NULL_CALL], null_time(m->nnulls));
	before = usage_now();
	samples_add(&m->columns[is_ready ? READY : ABSENT], submit_time(&s->ring, &op));
	after = usage_now();
	if (!is_ready) {
		m->slept += after.ru_nvcsw - before.ru_nvcsw;
		m->preempted += after.ru_nivcsw - before.ru_nivcsw;
		peer_write(link, there, NBYTES);
	}
	CHECK_EQ(await(&s->ring, &op), NBYTES);
}

static void rounds_run(struct scene *s, struct link *link, long rounds, struct measurement *m)
{
	for (long i = 0; i < rounds; i++) {
		round_run(s, link, i % 2, m);
		round_run(s, link, !(i % 2), m);
	}
}

/* How many calls take as long as a submission. */
static unsigned int calibrate(struct scene *s, struct link *link)
{
	struct measurement m = {.nnulls = 1};
	uint64_t length, null;

	rounds_run(s, link, WARM, &m);
	length = samples_at(&m.columns[ABSENT], 0.5);
	for (int i = 0; i < COLUMNS; i++)
		samples_free(&m.columns[i]);
	for (int i = 0; i < WARM; i++)
		samples_add(&m.columns[NULL_CALL], null_time(100));
	null = samples_at(&m.columns[NULL_CALL], 0.5);
	samples_free(&m.columns[NULL_CALL]);
	return (unsigned int)(100 * length / null) + 1;
}

static void measure(const struct variant *v, long rounds)
{
	struct scene s = {.policy = v->policy, .flags = v->flags, .kind = LINK_TCP};
	struct measurement m = {0};
	struct link *link;

	scene_ring(&s, 8);
	link = scene_link(&s);
	m.nnulls = calibrate(&s, link);
	rounds_run(&s, link, rounds, &m);
	printf("\"%s\": {\"slept\": %ld, \"preempted\": %ld", v->name, m.slept, m.preempted);
	for (int i = 0; i < COLUMNS; i++) {
		printf(", \"%s\": {\"p50\": %ju, \"p99_9\": %ju, \"max\": %ju}", column_names[i],
		       (uintmax_t)samples_at(&m.columns[i], 0.5), (uintmax_t)samples_at(&m.columns[i], 0.999),
		       (uintmax_t)samples_at(&m.columns[i], 1));
		samples_free(&m.columns[i]);
	}
	printf("}");
	scene_finish(&s);
}

int cmd_submit(int argc, char **argv)
{
	long rounds = number_of(argv[1], "ROUNDS");

	CHECK_EQ(argc, 2);
	helpers_free();
	for (unsigned int i = 0; i < VARIANTS; i++) {
		if (!policy_is_there(variants[i].policy))
			break;
		printf(i ? ",\n" : "{");
		measure(&variants[i], rounds);
	}
	printf("}\n");
	return 0;
}
