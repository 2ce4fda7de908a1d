/* SPDX-License-Identifier: MIT */
/*
 * Engine epoll: readiness, then plain read and write, as a good epoll server does it. The baseline that the
 * other engines are measured against, and the reference for their results.
 *
 * Owns an edge-triggered epoll set, which is also taio_fd(), the operations in flight, and what is known
 * about each descriptor. Everything runs on the ring's thread; only operations on files go to helpers.
 *
 * Invariant: a descriptor's EPOLLIN or EPOLLOUT flag (struct waiting, events) is clear only if an attempt
 * found the descriptor empty or full after the last event was taken from the set. Whatever changes after
 * that attempt queues a new edge, and an edge stays queued until epoll_wait(2) takes it: none can be lost
 * between the two. So an operation that waits has its flag clear, and an edge on its way when there is
 * something to do.
 *
 * What completes outside of reap (at submit, by cancel) makes no edge. The eventfd in the set is written for
 * it, but only if the last reap returned 0: otherwise the caller must reap again before it sleeps.
 */
#include "engine_epoll.h"

#include "done.h"
#include "slots.h"
#include "transfer.h"
#include "waiters.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 128,	     /* taken by one epoll_wait(2) */
	HANDED_MAX = 4 * EVENTS_MAX, /* events handed out before the set is checked in any case */
	FILE_HELPERS = 16,
};

/* Flags in struct waiting.events, above those that epoll reports in the low half. */
enum {
	/* A short read means that it is empty: TCP, with neither its end nor urgent data in sight. */
	FD_SHORT_IS_EMPTY = 1 << 16,
};

/* In epoll_event.data, in place of a descriptor: the ring's own eventfd. */
#define DATA_EVENTFD UINT64_MAX

enum op_state {
	OP_FREE,
	OP_WAITING, /* in the table of waiters */
	OP_FILE,    /* with the pool, or in the done list */
	OP_DONE,    /* in the queue of completed ones */
};

/* 32 bytes: with its descriptor's entry about 48 for one that waits. */
struct op {
	struct waiter waiter;
	long res;
	enum op_state state;
	uint32_t link; /* the slots' */
};

struct file_job {
	struct job job;
	struct epoll_ring *ring;
	struct iocb *iocb;
	long res;
};

struct epoll_ring {
	struct taio ring;
	struct slots slots;
	struct op *ops;		/* by slot */
	struct file_job *files; /* by slot; only operations on files touch its pages */
	struct waiters waiters;
	struct waiter_queue completed;
	struct pool *pool;
	struct done done;
	int eventfd;
	unsigned int handed; /* since the set was last checked */
	bool is_drained;     /* the last epoll_wait(2) left nothing behind */
	bool is_woken;	     /* an edge of the eventfd is in the set */
	bool may_sleep;	     /* reap returned 0: the caller may be asleep on the set */
};

static struct epoll_ring *to_epoll(struct taio *ring)
{
	return (struct epoll_ring *)ring;
}

static struct op *to_op(struct waiter *waiter)
{
	return (struct op *)waiter;
}

/* Makes the set readable if the caller may be asleep on it and there is something to reap. */
static void wake(struct epoll_ring *r)
{
	const uint64_t one = 1;

	if (!r->may_sleep || r->is_woken || r->completed.last == NULL)
		return;
	/* Never read: registered edge-triggered, so each write is an edge. */
	r->is_woken = write(r->eventfd, &one, sizeof(one)) == sizeof(one);
}

static void complete(struct epoll_ring *r, struct op *op, long res)
{
	op->res = res;
	op->state = OP_DONE;
	queue_add(&r->completed, &op->waiter);
	wake(r);
}

/* One attempt, which updates the flags of the descriptor. */
static long stream_move(struct waiting *fd, const struct iocb *iocb)
{
	long res = transfer_now(iocb, TAIO_CLASS_STREAM);

	if (res == -EAGAIN)
		fd->events &= ~iocb_wants(iocb);
	else if (res > 0 && (fd->events & FD_SHORT_IS_EMPTY) && iocb_is_read(iocb) &&
		 (size_t)res < transfer_nbytes(iocb))
		fd->events &= ~EPOLLIN;
	return res;
}

static void stream_start(struct epoll_ring *r, struct op *op)
{
	const struct iocb *iocb = op->waiter.iocb;
	struct waiting *fd = waiters_at(&r->waiters, iocb->aio_fildes);
	long res = -EAGAIN;

	/* A flag that is set means that nothing waits in that direction, so that nothing is overtaken. */
	if (iocb->aio_lio_opcode == IO_CMD_POLL || !transfer_may_wait(iocb))
		res = transfer_now(iocb, TAIO_CLASS_STREAM);
	else if (fd->events & iocb_wants(iocb))
		res = stream_move(fd, iocb);
	else if ((file_tries_first(&r->ring, iocb->aio_fildes) || iocb_is_empty_write(iocb)) &&
		 !waiters_has(&r->waiters, iocb->aio_fildes, iocb_wants(iocb))) {
		res = stream_move(fd, iocb);
		if (res == -EAGAIN)
			file_waits(&r->ring, iocb->aio_fildes);
	}
	if (res != -EAGAIN || iocb_is_nowait(iocb) || fd->never_waits) {
		complete(r, op, res);
		return;
	}
	op->state = OP_WAITING;
	waiters_add(&r->waiters, &op->waiter);
}

static void file_run(struct job *job)
{
	struct file_job *file = (struct file_job *)job;

	file->res = transfer_now(file->iocb, TAIO_CLASS_FILE);
	done_push(&file->ring->done, job);
}

/* What the page cache holds needs no helper. */
static int file_start(struct epoll_ring *r, struct op *op)
{
	struct iocb *iocb = op->waiter.iocb;
	struct file_job *file = &r->files[iocb->key];
	long res;

	res = iocb_is_nowait(iocb) ? transfer_now(iocb, TAIO_CLASS_FILE) : transfer_cached(iocb);
	if (res != -EAGAIN || iocb_is_nowait(iocb)) {
		complete(r, op, res);
		return 0;
	}
	*file = (struct file_job){.job.run = file_run, .ring = r, .iocb = iocb};
	op->state = OP_FILE;
	return pool_submit(r->pool, &file->job, true);
}

static int submit_one(struct epoll_ring *r, struct iocb *iocb)
{
	int slot = slot_get(&r->slots);
	struct op *op;
	int err = 0;

	if (slot == SLOT_NONE)
		return -EAGAIN;
	op = &r->ops[slot];
	iocb->key = slot;
	op->waiter.iocb = iocb;
	if (file_class(&r->ring, iocb->aio_fildes) == TAIO_CLASS_FILE)
		err = file_start(r, op);
	else
		stream_start(r, op);
	if (err < 0) {
		op->state = OP_FREE;
		slot_put(&r->slots, slot);
	}
	return err;
}

static int epoll_submit(struct taio *ring, long nr, struct iocb **iocbs)
{
	struct epoll_ring *r = to_epoll(ring);
	long i;

	for (i = 0; i < nr; i++) {
		int err = submit_one(r, iocbs[i]);

		if (err < 0)
			return i > 0 ? i : err;
	}
	return i;
}

static void run_ready(struct epoll_ring *r, int fd)
{
	struct waiting *waiting = waiters_at(&r->waiters, fd);
	struct waiter *waiter;
	long res;

	while ((waiter = waiters_take_polled(&r->waiters, fd, &res)) != NULL)
		complete(r, to_op(waiter), res);
	while ((waiter = waiters_take(&r->waiters, fd, waiting->events)) != NULL) {
		res = stream_move(waiting, waiter->iocb);
		if (res == -EAGAIN)
			waiters_put_back(&r->waiters, waiter);
		else
			complete(r, to_op(waiter), res);
	}
}

static void on_ready(struct epoll_ring *r, int fd, uint32_t events)
{
	struct waiting *waiting = waiters_at(&r->waiters, fd);

	/* The end of the stream, an error or data behind the urgent mark may have come with the same edge as
	 * the data: from here on only -EAGAIN means that there is nothing more. */
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		waiting->events &= ~FD_SHORT_IS_EMPTY;
	waiting->events |= events_to_directions(events);
	run_ready(r, fd);
}

static void on_eventfd(struct epoll_ring *r)
{
	struct job_list jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct job *job, *next;

	r->is_woken = false;
	done_take(&r->done, &jobs);
	for (job = STAILQ_FIRST(&jobs); job != NULL; job = next) {
		struct file_job *file = (struct file_job *)job;

		next = STAILQ_NEXT(job, link);
		complete(r, &r->ops[file->iocb->key], file->res);
	}
}

static void look(struct epoll_ring *r)
{
	struct epoll_event ready[EVENTS_MAX];
	int n = epoll_wait(r->ring.fd, ready, EVENTS_MAX, 0);

	for (int i = 0; i < n; i++) {
		if (ready[i].data.u64 == DATA_EVENTFD)
			on_eventfd(r);
		else
			on_ready(r, ready[i].data.u64, ready[i].events);
	}
	r->handed = 0;
	r->is_drained = n < EVENTS_MAX;
}

static struct op *find(struct epoll_ring *r, const struct iocb *iocb)
{
	if (iocb->key >= r->slots.used || r->ops[iocb->key].waiter.iocb != iocb)
		return NULL;
	return &r->ops[iocb->key];
}

/* @iocb no longer waits: what waited behind it may be answered at once, though no edge will tell. */
static void try_next(struct epoll_ring *r, const struct iocb *iocb)
{
	int fd = iocb->aio_fildes;

	if (iocb->aio_lio_opcode == IO_CMD_POLL || !waiters_has(&r->waiters, fd, iocb_wants(iocb)))
		return;
	waiters_at(&r->waiters, fd)->events |= iocb_wants(iocb);
	run_ready(r, fd);
}

/* Data that arrived before the cancel is delivered, as another engine's helper would have delivered it by
 * now. */
static void waiting_cancel(struct epoll_ring *r, struct op *op)
{
	look(r);
	if (op->state == OP_WAITING) {
		waiters_remove(&r->waiters, &op->waiter);
		complete(r, op, -ECANCELED);
		try_next(r, op->waiter.iocb);
	}
	/* look() may have taken the edge that was to wake the caller. */
	wake(r);
}

static int epoll_cancel(struct taio *ring, struct iocb *iocb)
{
	struct epoll_ring *r = to_epoll(ring);
	struct op *op = find(r, iocb);

	if (op == NULL)
		return -ENOENT;
	switch (op->state) {
	case OP_WAITING:
		waiting_cancel(r, op);
		return 0;
	case OP_FILE:
		/* A helper that has begun reports the result of the disk. */
		if (pool_withdraw(r->pool, &r->files[iocb->key].job))
			complete(r, op, -ECANCELED);
		return 0;
	case OP_FREE:
	case OP_DONE:
		break;
	}
	return -ENOENT;
}

static int hand_out(struct epoll_ring *r, long nr, struct io_event *events)
{
	struct waiter *waiter;
	long n = 0;

	while (n < nr && (waiter = queue_take(&r->completed)) != NULL) {
		struct op *op = to_op(waiter);

		event_fill(&events[n++], waiter->iocb, op->res);
		op->state = OP_FREE;
		slot_put(&r->slots, waiter->iocb->key);
	}
	return n;
}

static int epoll_reap(struct taio *ring, long nr, struct io_event *events)
{
	struct epoll_ring *r = to_epoll(ring);
	bool is_empty = r->completed.last == NULL;
	int n;

	r->may_sleep = false;
	/* What came after the last look keeps the set readable: no need to look again before sleeping. */
	if ((is_empty && !r->is_drained) || r->handed >= HANDED_MAX)
		look(r);
	n = hand_out(r, nr, events);
	r->handed += n;
	if (n == 0) {
		r->is_drained = false;
		r->may_sleep = true;
	}
	return n;
}

static bool is_tcp(int fd)
{
	int protocol;
	socklen_t len = sizeof(protocol);

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_TCP;
}

static int epoll_attach(struct taio *ring, int fd, enum taio_class class)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
				    .data.u64 = fd};
	struct epoll_ring *r = to_epoll(ring);
	struct waiting *waiting;
	int err;

	if (class == TAIO_CLASS_FILE)
		return fd;
	err = stream_unblock(ring, fd);
	if (err == 0)
		err = waiters_attach(&r->waiters, fd);
	if (err < 0)
		return err;
	waiting = waiters_at(&r->waiters, fd);
	/* What can be read now is reported as the first edge. */
	waiting->events = EPOLLOUT | (is_tcp(fd) ? FD_SHORT_IS_EMPTY : 0);
	waiting->never_waits = false;
	if (epoll_ctl(ring->fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return fd;
	if (errno != EPERM)
		return -errno;
	waiting->events = EPOLLIN | EPOLLOUT;
	waiting->never_waits = true;
	return fd;
}

static void epoll_detach(struct taio *ring, int afd)
{
	struct epoll_ring *r = to_epoll(ring);

	if (file_class(ring, afd) == TAIO_CLASS_FILE)
		return;
	if (!waiters_at(&r->waiters, afd)->never_waits)
		epoll_ctl(ring->fd, EPOLL_CTL_DEL, afd, NULL);
}

static int open_fds(struct epoll_ring *r)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = DATA_EVENTFD};
	int err;

	r->ring.fd = epoll_create1(EPOLL_CLOEXEC);
	if (r->ring.fd < 0)
		return -errno;
	r->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->eventfd < 0) {
		err = -errno;
		goto close_set;
	}
	if (epoll_ctl(r->ring.fd, EPOLL_CTL_ADD, r->eventfd, &event) == 0)
		return 0;
	err = -errno;
	close(r->eventfd);
close_set:
	close(r->ring.fd);
	return err;
}

static int epoll_open(struct taio **ring, const struct taio_params *params, char *why)
{
	struct epoll_ring *r = calloc(1, sizeof(*r));
	int err = -ENOMEM;

	if (r == NULL)
		goto fail;
	r->ops = calloc(params->entries, sizeof(*r->ops));
	if (r->ops == NULL)
		goto free_ring;
	r->files = calloc(params->entries, sizeof(*r->files));
	if (r->files == NULL)
		goto free_ops;
	slots_init(&r->slots, params->entries, &r->ops[0].link, sizeof(r->ops[0]));
	err = pool_create(&r->pool, params->helpers_max ? params->helpers_max : FILE_HELPERS);
	if (err < 0)
		goto free_files;
	err = open_fds(r);
	if (err < 0)
		goto destroy_pool;
	done_init(&r->done, r->eventfd);
	r->ring.entries = params->entries;
	r->may_sleep = true;
	*ring = &r->ring;
	return 0;

destroy_pool:
	pool_destroy(r->pool);
free_files:
	free(r->files);
free_ops:
	free(r->ops);
free_ring:
	free(r);
fail:
	snprintf(why, TAIO_WHY_LEN, "epoll: %s", strerror(-err));
	return err;
}

/* Only helpers can be using an iocb or a buffer by now. */
static void epoll_close(struct taio *ring)
{
	struct epoll_ring *r = to_epoll(ring);

	for (unsigned int i = 0; i < r->slots.used; i++) {
		if (r->ops[i].state == OP_FILE)
			pool_withdraw(r->pool, &r->files[i].job);
	}
	pool_destroy(r->pool);
	done_fini(&r->done);
	close(r->eventfd);
	close(r->ring.fd);
	waiters_fini(&r->waiters);
	free(r->files);
	free(r->ops);
	free(r);
}

const struct engine engine_epoll = {
	.name = "epoll",
	.summary = "waits in an edge-triggered epoll set, then reads and writes on the ring's thread",
	.open = epoll_open,
	.close = epoll_close,
	.attach = epoll_attach,
	.detach = epoll_detach,
	.submit = epoll_submit,
	.cancel = epoll_cancel,
	.reap = epoll_reap,
};
