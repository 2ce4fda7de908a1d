/* SPDX-License-Identifier: MIT */
/*
 * Operations by stock system calls. Whatever an aio context gives goes through event_take(), which holds
 * every event to the contract: it belongs to a submission of ours and is its only one.
 */
#include "kmod.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#define AWAIT_MS 20000 /* under emulation with a debug kernel a second is short */
#define QUIET_MS 10
#define BATCH	 64

static _Atomic uint64_t submissions;

void ring_open(struct ring *ring, unsigned int entries)
{
	*ring = (struct ring){0};
	CHECK_EQ(io_setup((int)entries, &ring->ctx), 0);
}

void ring_close(struct ring *ring)
{
	CHECK_EQ(ring->inflight, 0);
	CHECK_EQ(io_destroy(ring->ctx), 0);
	ring->ctx = NULL;
}

int op_try(struct ring *ring, struct op *op)
{
	struct iocb *iocb = &op->iocb;
	int ret;

	op->seq = atomic_fetch_add(&submissions, 1) + 1;
	op->iocb.data = (void *)op->seq;
	ret = io_submit(ring->ctx, 1, &iocb);
	ring->inflight += ret == 1;
	return ret;
}

void op_start_(struct ring *ring, struct op *op)
{
	int ret = op_try(ring, op);

	if (ret != 1)
		fail_at(THERE(), "io_submit: %d, %u in flight", ret, ring->inflight);
}

int op_cancel_(struct ring *ring, struct op *op)
{
	struct io_event unused;
	int ret = io_cancel(ring->ctx, &op->iocb, &unused);

	if (ret != -EINPROGRESS && ret != -EINVAL)
		fail_at(THERE(), "io_cancel: %d, neither -EINPROGRESS nor -EINVAL", ret);
	return ret == -EINPROGRESS ? 0 : ret;
}

static void event_take(struct ring *ring, const struct io_event *event)
{
	struct op *op = (struct op *)((char *)event->obj - offsetof(struct op, iocb));

	if ((uint64_t)event->data != op->seq)
		fail_at(THERE(), "event of submission %ju, which is over: its iocb is at %ju; res %ld",
			(uintmax_t)event->data, (uintmax_t)op->seq, (long)event->res);
	op_event(op, event);
	ring->inflight--;
}

int collect(struct ring *ring, int timeout_ms)
{
	int64_t until = now_ms() + timeout_ms, left = timeout_ms;
	struct io_event events[BATCH];
	int n;

	do {
		struct timespec ts = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};

		n = io_getevents(ring->ctx, timeout_ms > 0, BATCH, events, &ts);
		left = n == -EINTR ? until - now_ms() : 0;
		if (left < 0)
			n = left = 0;
	} while (n == -EINTR);
	if (n < 0 || n > BATCH)
		fail_at(THERE(), "io_getevents: %d", n);
	for (int i = 0; i < n; i++)
		event_take(ring, &events[i]);
	return n;
}

long await_(struct ring *ring, struct op *op)
{
	while (!op->events)
		if (!collect(ring, AWAIT_MS))
			fail_at(THERE(), "no event, %u in flight", ring->inflight);
	return op->res;
}

void stay_quiet_(struct ring *ring)
{
	int n = collect(ring, QUIET_MS);

	if (n)
		fail_at(THERE(), "%d events where there should be none", n);
}
