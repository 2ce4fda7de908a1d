/* SPDX-License-Identifier: MIT */
/*
 * Time inside io_submit(2): one read from a TCP socket, with nothing to read there and with something. The
 * two take turns, and before each the same clock times a system call that does nothing: what the machine puts
 * on top of any call (interrupts, preemption, emulation) shows there. A call that slept is counted apart, as
 * no clock tells that from bad luck.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NBYTES 64
#define WARM   200 /* rounds that are not counted: helpers get started */

enum column { NULL_CALL, ABSENT, READY, COLUMNS };

static const char *const column_names[COLUMNS] = {"null", "absent", "ready"};

struct measurement {
	struct samples columns[COLUMNS];
	long slept;
};

static long sleeps(void)
{
	struct rusage usage;

	CHECK_EQ(getrusage(RUSAGE_THREAD, &usage), 0);
	return usage.ru_nvcsw;
}

static uint64_t null_time(void)
{
	uint64_t began = now_ns();

	syscall(SYS_getppid);
	return now_ns() - began;
}

static uint64_t submit_time(struct ring *ring, struct op *op, long *slept)
{
	struct iocb *iocb = &op->iocb;
	long before = sleeps();
	uint64_t began, ended;
	int ret;

	iocb->data = (void *)++op->seq;
	began = now_ns();
	ret = io_submit(ring->ctx, 1, &iocb);
	ended = now_ns();
	*slept += sleeps() - before;
	CHECK_EQ(ret, 1);
	ring->inflight++;
	return ended - began;
}

static void round_run(struct scene *s, struct link *link, bool is_ready, struct measurement *m)
{
	char there[NBYTES] = {0}, here[NBYTES];
	struct op op = {0};
	uint64_t ns, null;
	long slept = 0;

	op_read(&op, link->proxy_in, here, NBYTES);
	if (is_ready) {
		peer_write(link, there, NBYTES);
		CHECK(is_readable(link->in, 10000));
	}
	null = null_time();
	ns = submit_time(&s->ring, &op, &slept);
	if (!is_ready)
		peer_write(link, there, NBYTES);
	CHECK_EQ(await(&s->ring, &op), NBYTES);
	if (!m)
		return;
	samples_add(&m->columns[NULL_CALL], null);
	samples_add(&m->columns[is_ready ? READY : ABSENT], ns);
	m->slept += slept;
}

static void measure(enum taio_policy_id policy, uint32_t flags, const char *name, long rounds, bool is_last)
{
	struct scene s = {.policy = policy, .flags = flags, .kind = LINK_TCP};
	struct measurement m = {0};
	struct link *link;

	scene_ring(&s, 8);
	link = scene_link(&s);
	for (long i = 0; i < WARM; i++)
		round_run(&s, link, i % 2, NULL);
	for (long i = 0; i < rounds; i++) {
		round_run(&s, link, i % 2, &m);
		round_run(&s, link, !(i % 2), &m);
	}
	printf("\"%s\": {\"slept\": %ld", name, m.slept);
	for (int i = 0; i < COLUMNS; i++)
		printf(", \"%s\": {\"p50\": %ju, \"p99_9\": %ju, \"max\": %ju}", column_names[i],
		       (uintmax_t)samples_at(&m.columns[i], 0.5), (uintmax_t)samples_at(&m.columns[i], 0.999),
		       (uintmax_t)samples_at(&m.columns[i], 1));
	printf("}%s\n", is_last ? "" : ",");
	for (int i = 0; i < COLUMNS; i++)
		samples_free(&m.columns[i]);
	scene_finish(&s);
}

int cmd_submit(int argc, char **argv)
{
	long rounds = number_of(argv[1], "ROUNDS");

	CHECK_EQ(argc, 2);
	printf("{");
	for (unsigned int i = 0; i < VARIANTS; i++)
		measure(variants[i].policy, variants[i].flags, variants[i].name, rounds, i + 1 == VARIANTS);
	printf("}\n");
	return 0;
}
