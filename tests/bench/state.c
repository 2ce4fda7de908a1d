/* SPDX-License-Identifier: MIT */
/*
 * What each bit of the state mask costs an operation: batches that are ready, with the bit and without, in
 * turn: small reads, and writes of pages to a pipe, each of which allocates one. Submitter and helpers share
 * one processor, so that the time of a batch is what all of them spend on it. What is charged is charged to
 * the submitter's groups; in the root group, where nothing is, the bits of groups cost less.
 *
 * The submitter has a real-time priority: it submits all of a batch before a helper runs, and then sleeps
 * until the last is done. Else the two take turns as they please, and a batch with one turn more costs more
 * than with any bit.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH  32
#define NBYTES 64
#define PAGE   4096
#define WARM   20
#define CPU    0

static const struct {
	const char *name;
	uint32_t bit;
} bits[] = {
	{"CRED", TAIO_STATE_CRED},
	{"IOCONTEXT", TAIO_STATE_IOCONTEXT},
	{"BLKCG", TAIO_STATE_BLKCG},
	{"FSIZE", TAIO_STATE_FSIZE},
	{"MEMCG", TAIO_STATE_MEMCG},
	{"all", TAIO_STATE_FILE},
	{"none", 0}, /* the same against itself: what a difference of nothing looks like */
};

static const struct subject {
	const char *name;
	enum link_kind kind;
	enum taio_policy_id policy;
	bool writes;
} subjects[] = {
	{"socket", LINK_TCP, TAIO_POLICY_PARK, false}, {"socket", LINK_TCP, TAIO_POLICY_BLOCK, false},
	{"socket", LINK_TCP, TAIO_POLICY_TASK, false}, {"socket", LINK_TCP, TAIO_POLICY_WORKER, false},
	{"pipe", LINK_PIPE, TAIO_POLICY_PARK, false},  {"pipe", LINK_PIPE, TAIO_POLICY_BLOCK, false},
	{"page", LINK_PIPE, TAIO_POLICY_PARK, true},   {"page", LINK_PIPE, TAIO_POLICY_BLOCK, true},
	{"file", LINK_FILE, TAIO_POLICY_BLOCK, false}, {"file", LINK_FILE, TAIO_POLICY_WORKER, false},
};

struct bench {
	const struct subject *subject;
	struct ring ring;
	struct link link;
	struct op ops[BATCH];
	char bufs[BATCH][PAGE];
};

/* What a batch of reads takes. A file's stays. */
static void fill(struct bench *b)
{
	static const char bytes[BATCH * NBYTES];

	if (b->subject->kind == LINK_FILE)
		CHECK_EQ(pwrite(b->link.in, bytes, sizeof(bytes), 0), sizeof(bytes));
	else
		peer_write(&b->link, bytes, sizeof(bytes));
}

static void op_make(struct bench *b, int i, int proxy)
{
	struct op *op = &b->ops[i];

	if (b->subject->writes)
		op_write(op, proxy, b->bufs[i], PAGE);
	else
		op_read(op, proxy, b->bufs[i], NBYTES);
	op->iocb.u.c.offset = b->subject->kind == LINK_FILE ? i * NBYTES : 0;
}

/* One batch through @proxy: submitted at once, until the last event. */
static uint64_t batch_time(struct bench *b, int proxy)
{
	struct io_event events[BATCH];
	struct iocb *iocbs[BATCH];
	uint64_t began;

	if (b->subject->kind != LINK_FILE && !b->subject->writes)
		fill(b);
	for (int i = 0; i < BATCH; i++) {
		op_make(b, i, proxy);
		iocbs[i] = &b->ops[i].iocb;
	}
	began = now_ns();
	CHECK_EQ(io_submit(b->ring.ctx, BATCH, iocbs), BATCH);
	for (int n = 0, more; n < BATCH; n += more) {
		/* Task work interrupts it. */
		more = io_getevents(b->ring.ctx, BATCH - n, BATCH - n, events + n, NULL);
		if (more == -EINTR)
			more = 0;
		CHECK(more >= 0);
	}
	began = now_ns() - began;
	for (int i = 0; i < BATCH; i++)
		CHECK_EQ(events[i].res, b->subject->writes ? PAGE : NBYTES);
	if (b->subject->writes)
		peer_read(&b->link, b->bufs, sizeof(b->bufs));
	return began;
}

/* Median time of an operation. */
static double op_ns(struct bench *b, int proxy, long rounds)
{
	struct samples times = {0};
	uint64_t middle;

	for (long i = 0; i < rounds; i++)
		samples_add(&times, batch_time(b, proxy));
	middle = samples_at(&times, 0.5);
	samples_free(&times);
	return (double)middle / BATCH;
}

static int proxy_with(const struct bench *b, uint32_t state)
{
	struct taio_ioc_attach attach = {.fd = b->subject->writes ? b->link.out : b->link.in,
					 .policy = b->subject->policy,
					 .flags = TAIO_ATTACH_STATE | TAIO_ATTACH_CLOEXEC,
					 .state = state};
	int proxy = taio_attach_raw(&attach);

	CHECK(proxy >= 0);
	return proxy;
}

/* Pairs in turn: [without, with] in nanoseconds an operation. */
static void pairs_print(struct bench *b, const int proxies[2], long pairs, long rounds)
{
	for (long i = 0; i < pairs; i++) {
		double ns[2];

		ns[i % 2] = op_ns(b, proxies[i % 2], rounds);
		ns[!(i % 2)] = op_ns(b, proxies[!(i % 2)], rounds);
		printf("%s[%.1f, %.1f]", i ? ", " : "", ns[0], ns[1]);
	}
}

static void subject_measure(const struct subject *subject, long pairs, long rounds)
{
	static struct bench b;

	b = (struct bench){.subject = subject};
	ring_open(&b.ring, BATCH);
	link_make(&b.link, subject->kind);
	if (subject->kind == LINK_FILE)
		fill(&b);
	if (subject->writes)
		SYS(fcntl(b.link.out, F_SETPIPE_SZ, BATCH * PAGE));
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		int proxies[2] = {proxy_with(&b, TAIO_STATE_MM), proxy_with(&b, TAIO_STATE_MM | bits[i].bit)};

		op_ns(&b, proxies[0], WARM);
		helpers_pin(CPU);
		printf("%s{\"class\": \"%s\", \"policy\": \"%s\", \"bit\": \"%s\", \"pairs\": [",
		       subject > subjects || i ? ",\n" : "", subject->name, policy_names[subject->policy],
		       bits[i].name);
		pairs_print(&b, proxies, pairs, rounds);
		printf("]}");
		fd_close(&proxies[0]);
		fd_close(&proxies[1]);
	}
	link_destroy(&b.link);
	ring_close(&b.ring);
}

int cmd_state(int argc, char **argv)
{
	long pairs, rounds;

	CHECK_EQ(argc, 3);
	pairs = number_of(argv[1], "PAIRS");
	rounds = number_of(argv[2], "ROUNDS");
	pin_to_cpu(CPU);
	SYS(sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}));
	/* Gives the submitter an io_context, without which there is none to take along. */
	SYS(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 2)));
	printf("[");
	for (size_t c = 0; c < ARRAY_LEN(subjects); c++)
		if (policy_is_there(subjects[c].policy))
			subject_measure(&subjects[c], pairs, rounds);
	printf("]\n");
	return 0;
}
