/* SPDX-License-Identifier: MIT */
/*
 * The ring of a case, its links and its operations. Whatever the ring hands out goes through event_take(),
 * which checks every event against the contract: it belongs to an operation of ours and is its only one.
 */
#include "suite.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define AWAIT_MS 8000
#define QUIET_MS 5
#define BATCH	 32

void scene_ring(struct scene *s, unsigned int entries, unsigned int helpers_max)
{
	struct taio_params params = {.engine = s->engine,
				     .entries = entries,
				     .slots = s->slots,
				     .helpers_max = helpers_max,
				     .flags = s->flags};
	char why[TAIO_WHY_LEN] = "";
	int ret = taio_open(&s->ring, &params, why);

	if (ret)
		fail_at(HERE(), "taio_open: %s: %s", strerror(-ret), why);
	CHECK_EQ(taio_inflight(s->ring), 0);
}

void scene_close_ring(struct scene *s)
{
	taio_close(s->ring);
	s->ring = NULL;
}

struct link *scene_link(struct scene *s)
{
	struct link *link = malloc(sizeof(*link));

	CHECK(link && s->nlinks < SCENE_LINKS);
	link_make(link, s->kind);
	s->links[s->nlinks++] = link;
	if (s->ring)
		link_attach(s, link);
	return link;
}

struct link *scene_open(struct scene *s, unsigned int entries)
{
	scene_ring(s, entries, 0);
	return scene_link(s);
}

void link_attach(struct scene *s, struct link *link)
{
	link->afd_in = taio_attach(s->ring, link->in, TAIO_CLASS_ASK);
	CHECK(link->afd_in >= 0);
	link->afd_out = link->afd_in;
	if (link->out == link->in)
		return;
	link->afd_out = taio_attach(s->ring, link->out, TAIO_CLASS_ASK);
	CHECK(link->afd_out >= 0);
}

void link_detach(struct scene *s, struct link *link)
{
	if (link->afd_in >= 0)
		taio_detach(s->ring, link->afd_in);
	if (link->afd_out >= 0 && link->afd_out != link->afd_in)
		taio_detach(s->ring, link->afd_out);
	link->afd_in = link->afd_out = -1;
}

void link_renew(struct scene *s, struct link *link)
{
	link_detach(s, link);
	link_destroy(link);
	link_make(link, s->kind);
	link_attach(s, link);
}

void scene_finish(struct scene *s)
{
	struct io_event event;

	if (s->ring) {
		CHECK_EQ(taio_inflight(s->ring), 0);
		CHECK_EQ(taio_reap(s->ring, 1, &event), 0);
	}
	for (unsigned int i = 0; i < s->nlinks; i++) {
		if (s->ring)
			link_detach(s, s->links[i]);
		link_destroy(s->links[i]);
		free(s->links[i]);
	}
	s->nlinks = 0;
	scene_close_ring(s);
}

int op_try(struct scene *s, struct op *op)
{
	struct iocb *iocb = &op->iocb;

	return taio_submit(s->ring, 1, &iocb);
}

void op_start_(struct scene *s, struct op *op)
{
	int ret = op_try(s, op);

	if (ret != 1)
		fail_at(THERE(), "submit of one operation: %d, %u in flight", ret, taio_inflight(s->ring));
}

int op_cancel_(struct scene *s, struct op *op)
{
	int ret = taio_cancel(s->ring, &op->iocb);

	if (ret != 0 && ret != -ENOENT)
		fail_at(THERE(), "cancel: %d, neither 0 nor -ENOENT", ret);
	return ret;
}

static void event_take(const struct io_event *event)
{
	struct op *op = event->data;

	if (!op || event->obj != &op->iocb)
		fail_at(HERE(), "event of obj %p with data %p is none of ours", (void *)event->obj,
			event->data);
	op_event(op, event);
}

static int reap_by_fd(struct scene *s, struct io_event *events, int timeout_ms)
{
	int n = taio_reap(s->ring, BATCH, events);
	bool is_woken;

	if (n || !timeout_ms)
		return n;
	is_woken = is_readable(taio_fd(s->ring), timeout_ms);
	n = taio_reap(s->ring, BATCH, events);
	/* A short sleep may time out just as an event comes; a long one that does has missed a wake-up. */
	if (n > 0 && !is_woken && timeout_ms == AWAIT_MS)
		fail_at(THERE(), "%d events and no wake-up", n);
	return n;
}

int collect(struct scene *s, int timeout_ms)
{
	struct io_event events[BATCH];
	int n = s->by_fd ? reap_by_fd(s, events, timeout_ms) : taio_wait(s->ring, BATCH, events, timeout_ms);

	if (n < 0 || n > BATCH)
		fail_at(THERE(), "events: %d", n);
	for (int i = 0; i < n; i++)
		event_take(&events[i]);
	return n;
}

/* There may be spurious wake-ups, so only elapsed time shows that no event comes. */
long await_(struct scene *s, struct op *op)
{
	int64_t until = 0;

	while (!op->events) {
		if (collect(s, AWAIT_MS))
			until = 0;
		else if (!until)
			until = now_ms() + (s->by_fd ? AWAIT_MS / 2 : 0);
		if (until && now_ms() >= until)
			fail_at(THERE(), "no event, %u in flight", taio_inflight(s->ring));
	}
	return op->res;
}

void await_all_(struct scene *s, struct op *ops, unsigned int nops)
{
	for (unsigned int i = 0; i < nops; i++)
		await_(s, &ops[i]);
}

void stay_quiet_(struct scene *s)
{
	int n = collect(s, QUIET_MS);

	if (n)
		fail_at(THERE(), "%d events where there should be none", n);
}

static long write_nowait(struct scene *s, struct link *link, const void *buf, size_t nbytes)
{
	struct op op;

	op_write(&op, link->afd_out, buf, nbytes);
	op.iocb.aio_rw_flags = RWF_NOWAIT;
	op_start_(s, &op);
	return await_(s, &op);
}

size_t fill_(struct scene *s, struct link *link, uint64_t offset, uint64_t seed, int settle_ms)
{
	struct pollfd pfd = {.fd = link->out, .events = POLLOUT};
	static _Thread_local char buf[16384];
	size_t total = 0;

	for (bool settled = false;;) {
		long n;

		pattern_fill(buf, sizeof(buf), offset + total, seed);
		n = write_nowait(s, link, buf, sizeof(buf));
		if (n == -EAGAIN && settled)
			return total;
		if (n <= 0 && n != -EAGAIN)
			fail_at(THERE(), "write with RWF_NOWAIT: %ld", n);
		total += n > 0 ? (size_t)n : 0;
		/* TCP takes a little again long before it is writable, so only another write tells. */
		settled = n == -EAGAIN && poll(&pfd, 1, settle_ms) == 0;
	}
}
