/* SPDX-License-Identifier: MIT */
/* TAIO_IOC_CANCEL ends what is in flight on a proxy, whoever submitted it; and who else can disturb a helper:
 * nobody. */
#include "semantics.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define NOPS 16

struct herd {
	struct op ops[NOPS];
	char bytes[NOPS];
};

static void herd_start(struct ring *ring, struct herd *herd, int proxy)
{
	for (unsigned int i = 0; i < NOPS; i++)
		read_start(ring, &herd->ops[i], proxy, &herd->bytes[i], 1);
}

static void herd_await(struct ring *ring, struct herd *herd, long res)
{
	for (unsigned int i = 0; i < NOPS; i++)
		CHECK_EQ(await(ring, &herd->ops[i]), res);
}

TEST_CASE(cancel_ioctl_ends_everything, ON(STREAMS))
{
	struct link *link = scene_open(s, NOPS);
	struct herd herd;
	char byte;

	for (unsigned int round = 0; round < 20; round++) {
		herd_start(&s->ring, &herd, link->afd_in);
		if (round % 2)
			stay_quiet(&s->ring); /* in the helpers' hands, or on the wait queue, rather than on
						 the way */
		CHECK_EQ(proxy_cancel(link->afd_in), NOPS);
		herd_await(&s->ring, &herd, -ECANCELED);
		CHECK_EQ(proxy_cancel(link->afd_in), 0);
	}
	/* What comes after is not cancelled, and no byte is lost. */
	read_start(&s->ring, &herd.ops[0], link->afd_in, &byte, 1);
	stay_quiet(&s->ring);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &herd.ops[0]), 1);
	CHECK_EQ(byte, 'x');
}

struct other {
	int proxy, ready[2];
};

static void submit_and_await_cancel(void *arg)
{
	struct other *other = arg;
	struct herd herd;
	struct ring ring;

	become_user(1000, 0);
	ring_open(&ring, NOPS);
	herd_start(&ring, &herd, other->proxy);
	CHECK_EQ(write(other->ready[1], "", 1), 1);
	herd_await(&ring, &herd, -ECANCELED);
	ring_close(&ring);
}

TEST_CASE(cancel_ioctl_reaches_ops_of_others, ON(STREAMS))
{
	struct link *link = scene_open(s, NOPS);
	struct other other = {.proxy = link->afd_in};
	struct herd herd;
	pid_t pid;
	char byte;

	herd_start(&s->ring, &herd, link->afd_in);
	scratch_pipe(other.ready);
	pid = child_start(submit_and_await_cancel, &other);
	fd_read(other.ready[0], &byte, 1);
	until_inflight(link->afd_in, 2 * NOPS);
	CHECK_EQ(proxy_cancel(link->afd_in), 2 * NOPS);
	herd_await(&s->ring, &herd, -ECANCELED);
	CHECK_EQ(child_reap(pid, 20000), 0);
}

/* Even of the same file. */
TEST_CASE(cancel_ioctl_leaves_other_proxies, ON(STREAMS))
{
	struct link *link = scene_open(s, 4);
	int other = proxy_make(s, link->in);
	struct op here, there;
	char bytes[2];

	op_read(&here, link->afd_in, &bytes[0], 1);
	op_read(&there, other, &bytes[1], 1);
	op_start(&s->ring, &here);
	op_start(&s->ring, &there);
	CHECK_EQ(proxy_cancel(link->afd_in), 1);
	CHECK_EQ(await(&s->ring, &here), -ECANCELED);
	stay_quiet(&s->ring);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &there), 1);
	CHECK_EQ(proxy_cancel(other), 0);
}

/* --- helpers --- */

/* An idle helper ends when idle_ms is over as it was then: each gets something to do, and is idle anew. */
static void helpers_occupy_each(struct scene *s, int proxy)
{
	static struct op ops[HELPERS_MAX];
	static char bytes[HELPERS_MAX];
	pid_t pids[HELPERS_MAX];
	unsigned int n = helpers_find(pids);

	for (unsigned int i = 0; i < n; i++)
		read_start(&s->ring, &ops[i], proxy, &bytes[i], 1);
	CHECK_EQ(proxy_cancel(proxy), n);
	for (unsigned int i = 0; i < n; i++)
		CHECK_EQ(await(&s->ring, &ops[i]), -ECANCELED);
}

TEST_CASE(helpers_cannot_be_signalled, ON(STREAMS), AS(CASE_BLOCK))
{
	pid_t before[HELPERS_MAX], after[HELPERS_MAX];
	long idle_ms = param_set("idle_ms", 100000);
	struct link *link = scene_open(s, HELPERS_MAX);
	unsigned int n;
	struct op op;
	char byte;

	helpers_occupy_each(s, link->afd_in);
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	stay_quiet(&s->ring);
	n = helpers_find(before);
	CHECK(n > 0 && n < HELPERS_MAX);
	for (int sig = 1; sig < NSIG; sig++)
		for (unsigned int i = 0; i < n; i++)
			kill(before[i], sig);
	stay_quiet(&s->ring);
	CHECK_EQ(helpers_find(after), n);
	CHECK(memcmp(before, after, n * sizeof(*before)) == 0);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), 1);

	/* The ones that were struck go on, and a cancel still reaches them. */
	for (unsigned int i = 0; i < 10; i++) {
		read_start(&s->ring, &op, link->afd_in, &byte, 1);
		stay_quiet(&s->ring);
		CHECK_EQ(proxy_cancel(link->afd_in), 1);
		CHECK_EQ(await(&s->ring, &op), -ECANCELED);
	}
	param_set("idle_ms", idle_ms);
}
