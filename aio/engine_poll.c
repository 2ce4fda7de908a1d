/* SPDX-License-Identifier: MIT */
/*
 * Engine poll: stock io_submit(2). Non-blocking PREAD/PWRITE iocbs move the data inside io_submit; where they
 * find none (-EAGAIN) an IOCB_CMD_POLL iocb waits in the kernel, is really cancelled by io_cancel(2), and
 * wakes us through the eventfd. This file is the life of an operation; engine_poll_ring.c keeps it between
 * two steps. Ring's thread only, but for help_run().
 *
 *            submit                  -EAGAIN               POLLIN/POLLOUT
 *   FREE ──────────────► TRY ──────────────────► POLL ─────────────────────► TRY ─► event
 *    └─► LATER ──(nothing else to do)──┘           └── io_cancel ─► event -ECANCELED
 *
 * Reads are not tried at once: the response to what was just written cannot be there yet, but after one more
 * round of work it often is. So a read waits in the LATER list until the ring has nothing else to do, and
 * is tried then: a busy server neither polls nor sleeps. Where that guess keeps failing (few connections),
 * the POLL goes out in the same io_submit as the write, see guess_learn().
 *
 * On a proxy of engine kmod WAIT takes the place of POLL: the operation itself, which waits in the kernel
 * until it is done, so that no other TRY follows.
 *
 * Regular files: PREAD with RWF_NOWAIT serves what the page cache holds; what would block goes to a
 * helper (pool.h). O_DIRECT files are asynchronous in the stock kernel and left to it.
 */
#include "engine_poll.h"

#include "engine_poll_files.h"
#include "transfer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define DRAIN_BATCH	64
#define GROUP_MIN	4
#define DEFAULT_HELPERS 16
#define GUESS_MAX	64

static struct poll_ring *to_ring(struct taio *ring)
{
	return (struct poll_ring *)ring;
}

/* --- what goes to the kernel --- */

static void wake_by_eventfd(struct poll_ring *r, struct iocb *iocb)
{
	iocb->u.c.flags |= 1; /* IOCB_FLAG_RESFD */
	iocb->u.c.resfd = (unsigned int)r->taio.fd;
}

static void queue_try(struct poll_ring *r, struct poll_op *op)
{
	int fd = op->user->aio_fildes;

	op->k = *op->user;
	if (has_proxy(r, op->user))
		op->k.aio_rw_flags |= RWF_NOWAIT;
	else if (file_class(&r->taio, fd) == TAIO_CLASS_STREAM)
		op->k.aio_rw_flags = 0; /* O_NONBLOCK is enough, and needs no RWF_NOWAIT in the driver */
	else if (r->file_flags[fd] & FILE_DIRECT)
		wake_by_eventfd(r, &op->k);
	else
		op->k.aio_rw_flags |= RWF_NOWAIT;
	sq_put(r, op, KERNEL_TRY);
}

static int events_of(const struct iocb *iocb)
{
	if (iocb->aio_lio_opcode == IO_CMD_POLL)
		return iocb->u.poll.events;
	return iocb_is_read(iocb) ? POLLIN : POLLOUT;
}

static void prepare_poll(struct poll_ring *r, struct poll_op *op)
{
	if (op->epfd >= 0)
		io_prep_poll(&op->k, op->epfd, POLLIN);
	else
		io_prep_poll(&op->k, op->user->aio_fildes, events_of(op->user));
	wake_by_eventfd(r, &op->k);
	op->sleeps = r->sleeps;
}

static void queue_poll(struct poll_ring *r, struct poll_op *op)
{
	prepare_poll(r, op);
	sq_put(r, op, KERNEL_POLL);
}

static void prepare_wait(struct poll_ring *r, struct poll_op *op)
{
	op->k = *op->user;
	wake_by_eventfd(r, &op->k);
	op->sleeps = r->sleeps;
}

static void queue_wait(struct poll_ring *r, struct poll_op *op)
{
	prepare_wait(r, op);
	sq_put(r, op, KERNEL_WAIT);
}

/* For a stream that has nothing now, or is not expected to. */
static void queue_until_ready(struct poll_ring *r, struct poll_op *op)
{
	if (has_proxy(r, op->user))
		queue_wait(r, op);
	else
		queue_poll(r, op);
}

/* --- reads: now, later or when polled --- */

/*
 * @hit: the data was there by the time the ring ran dry, so that trying later found it or would have. Up
 * to half the range a POLL goes out at once, above it reads are tried later.
 */
static void guess_learn(struct poll_ring *r, struct poll_op *op, bool hit)
{
	if (!op->guessed)
		return;
	op->guessed = false;
	if (hit && r->guess < GUESS_MAX)
		r->guess++;
	else if (!hit && r->guess)
		r->guess--;
}

/* After a read of a group was tried. @hit as above. */
static void try_learn(struct poll_ring *r, struct poll_op *op, bool hit)
{
	r->group_missed |= op->guessed && !hit;
	guess_learn(r, op, hit);
}

static void read_start(struct poll_ring *r, struct poll_op *op)
{
	if (!transfer_may_wait(op->user) || file_tries_first(&r->taio, op->user->aio_fildes)) {
		queue_try(r, op);
		return;
	}
	op->guessed = true;
	if (r->guess <= GUESS_MAX / 2) {
		queue_until_ready(r, op);
		return;
	}
	op->state = OP_LATER;
	fifo_put(r, &r->later, op);
}

/*
 * Tries the reads that have waited longest, in groups: while the caller works on one group, data for the rest
 * arrives. A miss means that the group was too large. A group is never larger than what is handed out at
 * once, so that what was read is still in the cache when the caller works on it.
 */
static void try_some_later(struct poll_ring *r)
{
	struct poll_op *op;

	if (r->group_missed)
		r->group = r->group / 2 > GROUP_MIN ? r->group / 2 : GROUP_MIN;
	else if (r->group < DRAIN_BATCH)
		r->group++;
	r->group_missed = false;
	for (unsigned int i = 0; i < r->group && (op = fifo_take(r, &r->later)); i++)
		queue_try(r, op);
}

/* --- class FILE: what would block goes to a helper --- */

static void help_run(struct job *job)
{
	struct poll_op *op = (struct poll_op *)job;
	struct poll_ring *r = op->h.ring;

	op->h.res = transfer_now(op->user, TAIO_CLASS_FILE);
	done_push(&r->done, job);
}

static void queue_helper(struct poll_ring *r, struct poll_op *op)
{
	int ret = r->pool ? 0 : pool_create(&r->pool, r->helpers_max);

	if (!ret) {
		op->h.job = (struct job){.run = help_run};
		op->h.ring = r;
		op->state = OP_HELPER;
		ret = pool_submit(r->pool, &op->h.job, true);
	}
	if (ret)
		ready_put(r, op, ret);
}

static void queue_blocking(struct poll_ring *r, struct poll_op *op)
{
	if (has_proxy(r, op->user))
		queue_wait(r, op);
	else
		queue_helper(r, op);
}

/* --- what the kernel refuses --- */

/*
 * The kernel's aio can poll a file with one wait queue, and refuses with -EINVAL a file with two, such as a
 * terminal. An epoll set has one, and is polled in the terminal's place. True: try again.
 */
static bool poll_by_set(struct poll_ring *r, struct poll_op *op)
{
	struct epoll_event event = {.events = (uint32_t)events_of(op->user)};

	if (op->epfd >= 0)
		return false;
	op->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (op->epfd < 0 || epoll_ctl(op->epfd, EPOLL_CTL_ADD, op->user->aio_fildes, &event) < 0)
		return false;
	prepare_poll(r, op);
	return true;
}

/*
 * The kernel's aio refuses with -EINVAL a file without read_iter or write_iter, such as an eventfd for
 * writing. A plain call works, since the stream does not block. Returns as refuse().
 */
static bool try_by_call(struct poll_ring *r, struct poll_op *op)
{
	long res = transfer_now(op->user, TAIO_CLASS_STREAM);

	try_learn(r, op, res != -EAGAIN);
	if (res == -EAGAIN && !iocb_is_nowait(op->user)) {
		prepare_poll(r, op);
		op->kind = KERNEL_POLL;
		return false;
	}
	ready_put(r, op, res);
	return true;
}

/* The same for class FILE, and for a device without RWF_NOWAIT. */
static bool is_for_helper(struct poll_ring *r, const struct iocb *iocb, int res)
{
	if (res != -EOPNOTSUPP || iocb_is_nowait(iocb))
		return res == -EINVAL;
	r->file_flags[iocb->aio_fildes] |= FILE_NO_NOWAIT;
	return true;
}

/* On a proxy of a file without RWF_NOWAIT the operation waits at once. Returns as refuse(). */
static bool wait_by_proxy(struct poll_ring *r, struct poll_op *op)
{
	r->file_flags[op->user->aio_fildes] |= FILE_NO_NOWAIT;
	prepare_wait(r, op);
	op->kind = KERNEL_WAIT;
	return false;
}

static bool refuse_proxy(struct poll_ring *r, struct poll_op *op, int res)
{
	if (op->kind == KERNEL_TRY && res == -EOPNOTSUPP && !iocb_is_nowait(op->user))
		return wait_by_proxy(r, op);
	ready_put(r, op, res);
	return true;
}

/* A refuse_fn. */
static bool refuse(struct poll_ring *r, struct poll_op *op, int res)
{
	bool is_file = file_class(&r->taio, op->user->aio_fildes) == TAIO_CLASS_FILE;

	if (has_proxy(r, op->user))
		return refuse_proxy(r, op, res);
	if (op->kind == KERNEL_POLL && res == -EINVAL && poll_by_set(r, op))
		return false;
	if (op->kind == KERNEL_TRY && res == -EINVAL && !is_file)
		return try_by_call(r, op);
	if (is_file && is_for_helper(r, op->user, res))
		queue_helper(r, op);
	else
		ready_put(r, op, res);
	return true;
}

/* --- what comes back from the kernel --- */

/* Each on_ function returns true when *res is the operation's result, false when another step was queued. */

static bool on_try_stream(struct poll_ring *r, struct poll_op *op, long *res)
{
	try_learn(r, op, *res != -EAGAIN);
	if (*res != -EAGAIN)
		return true;
	if (op->cancelled) {
		*res = -ECANCELED;
		return true;
	}
	if (op->user->aio_rw_flags & RWF_NOWAIT)
		return true;
	file_waits(&r->taio, op->user->aio_fildes);
	queue_until_ready(r, op);
	return false;
}

static bool on_try_file(struct poll_ring *r, struct poll_op *op, long *res)
{
	int fd = op->user->aio_fildes;

	if (*res == -EOPNOTSUPP)
		r->file_flags[fd] |= FILE_NO_NOWAIT;
	if ((*res != -EAGAIN && *res != -EOPNOTSUPP) || op->user->aio_rw_flags & RWF_NOWAIT ||
	    r->file_flags[fd] & FILE_DIRECT)
		return true;
	if (op->cancelled) {
		*res = -ECANCELED;
		return true;
	}
	queue_blocking(r, op);
	return false;
}

static bool on_try(struct poll_ring *r, struct poll_op *op, long *res)
{
	int fd = op->user->aio_fildes;

	if (file_class(&r->taio, fd) == TAIO_CLASS_STREAM)
		return on_try_stream(r, op, res);
	if (r->file_flags[fd] & FILE_DIRECT)
		signal_owed(r);
	return on_try_file(r, op, res);
}

/* What is ready, after a set was polled in the file's place. */
static long poll_now(const struct iocb *iocb)
{
	struct pollfd pfd = {.fd = iocb->aio_fildes, .events = (short)events_of(iocb)};

	return poll(&pfd, 1, 0) < 0 ? -errno : pfd.revents;
}

static bool on_poll(struct poll_ring *r, struct poll_op *op, long *res)
{
	signal_owed(r);
	guess_learn(r, op, op->sleeps == r->sleeps);
	if (op->user->aio_lio_opcode == IO_CMD_POLL) {
		if (*res > 0 && op->epfd >= 0)
			*res = poll_now(op->user);
		else if (*res > 0) /* a wake-up reports all that may be ready, not only what was asked for */
			*res &= events_of(op->user) | POLLERR | POLLHUP;
		if (*res == 0 && op->cancelled)
			*res = -ECANCELED;
		return true;
	}
	/* Nothing was taken yet: what the peer sent stays in the file for another operation. */
	if (op->cancelled) {
		*res = -ECANCELED;
		return true;
	}
	if (*res < 0)
		return true;
	queue_try(r, op);
	return false;
}

static bool on_wait(struct poll_ring *r, struct poll_op *op, long *res)
{
	signal_owed(r);
	guess_learn(r, op, op->sleeps == r->sleeps);
	return true;
}

typedef bool on_kind_fn(struct poll_ring *r, struct poll_op *op, long *res);

/* True: *event is the caller's now. */
static bool on_event(struct poll_ring *r, struct io_event *event)
{
	static on_kind_fn *const on_kind[] = {
		[KERNEL_TRY] = on_try, [KERNEL_POLL] = on_poll, [KERNEL_WAIT] = on_wait};
	struct poll_op *op = (struct poll_op *)event->obj;
	long res = (long)event->res;

	if (!on_kind[op->kind](r, op, &res))
		return false;
	event_fill(event, op->user, res);
	poll_op_free(r, op);
	return true;
}

static int drain(struct poll_ring *r, int nr, struct io_event *events)
{
	int n = 0, got;

	got = poll_take(r, nr, events);
	for (int i = 0; i < got; i++) {
		if (!on_event(r, &events[i]))
			continue;
		if (n != i)
			events[n] = events[i];
		n++;
	}
	return n;
}

static void take_helped(struct poll_ring *r)
{
	struct job_list jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct job *job;

	done_take(&r->done, &jobs);
	if (STAILQ_EMPTY(&jobs))
		return;
	signal_owed(r); /* done_push() signals once for each empty list that it fills */
	while ((job = STAILQ_FIRST(&jobs))) {
		struct poll_op *op = (struct poll_op *)job;

		STAILQ_REMOVE_HEAD(&jobs, link);
		ready_put(r, op, op->h.res);
	}
}

int poll_reap(struct taio *ring, long nr, struct io_event *events)
{
	struct poll_ring *r = to_ring(ring);
	int room = nr > DRAIN_BATCH ? DRAIN_BATCH : (int)nr;

	for (;;) {
		int n = ready_take(r, room, events);

		n += drain(r, room - n, events + n);
		if (n)
			return n;
		if (r->sq_len) {
			sq_flush(r, refuse);
			continue;
		}
		if (r->later.head) {
			try_some_later(r);
			continue;
		}
		if (r->pool)
			take_helped(r);
		if (r->ready.head || signals_read(r))
			continue;
		r->sleeps++;
		return 0;
	}
}

/* --- the caller's side --- */

static void start(struct poll_ring *r, struct iocb *iocb)
{
	struct poll_op *op = poll_op_alloc(r);
	int fd = iocb->aio_fildes;

	op->user = iocb;
	iocb->key = poll_op_slot(r, op);
	if (iocb->aio_lio_opcode == IO_CMD_POLL)
		queue_poll(r, op);
	else if (r->waits_only && has_proxy(r, iocb) && !file_tries_first(&r->taio, fd) &&
		 !iocb_is_empty_write(iocb))
		queue_wait(r, op);
	else if (file_class(&r->taio, fd) == TAIO_CLASS_STREAM && iocb_is_read(iocb))
		read_start(r, op);
	else if (file_class(&r->taio, fd) == TAIO_CLASS_FILE && r->file_flags[fd] & FILE_NO_NOWAIT &&
		 !(iocb->aio_rw_flags & RWF_NOWAIT))
		queue_blocking(r, op);
	else
		queue_try(r, op);
}

int poll_submit(struct taio *ring, long nr, struct iocb **iocbs)
{
	struct poll_ring *r = to_ring(ring);

	for (long i = 0; i < nr; i++)
		start(r, iocbs[i]);
	sq_flush(r, refuse);
	return (int)nr;
}

/* Takes back an operation that neither the kernel nor a helper has begun. */
static bool withdraw(struct poll_ring *r, struct poll_op *op)
{
	switch ((enum op_state)op->state) {
	case OP_LATER:
		fifo_remove(r, &r->later, op);
		return true;
	case OP_QUEUED:
		sq_remove(r, op);
		return true;
	case OP_HELPER:
		return pool_withdraw(r->pool, &op->h.job);
	case OP_FREE:
	case OP_IN_KERNEL:
	case OP_READY:
		break;
	}
	return false;
}

int poll_cancel(struct taio *ring, struct iocb *iocb)
{
	struct poll_ring *r = to_ring(ring);
	struct poll_op *op = poll_op_of(r, iocb);
	struct io_event unused;

	if (!op || op->state == OP_READY)
		return -ENOENT;
	op->cancelled = true;
	if (withdraw(r, op))
		ready_put(r, op, -ECANCELED);
	else if (op->state == OP_IN_KERNEL && op->kind != KERNEL_TRY)
		/* -EINPROGRESS: its event comes; -EINVAL: it has fired, and its event comes as well. */
		io_cancel(r->ctxs[op->ctx].id, &op->k, &unused);
	return 0;
}

int poll_init(struct poll_ring *r, const struct taio_params *params, char *why)
{
	int ret = poll_ring_init(r, params, why);

	if (ret)
		return ret;
	r->group = DRAIN_BATCH;
	r->helpers_max = params->helpers_max ? params->helpers_max : DEFAULT_HELPERS;
	return 0;
}

void poll_fini(struct poll_ring *r)
{
	pool_destroy(r->pool);
	free(r->file_flags);
	poll_ring_fini(r);
}

static int poll_open(struct taio **ring, const struct taio_params *params, char *why)
{
	struct poll_ring *r = calloc(1, sizeof(*r));
	int ret;

	if (!r) {
		snprintf(why, TAIO_WHY_LEN, "out of memory for a ring");
		return -ENOMEM;
	}
	ret = poll_init(r, params, why);
	if (ret) {
		free(r);
		return ret;
	}
	*ring = &r->taio;
	return 0;
}

static void poll_close(struct taio *ring)
{
	struct poll_ring *r = to_ring(ring);

	poll_fini(r);
	free(r);
}

const struct engine engine_poll = {
	.name = "poll",
	.summary = "stock io_submit: IOCB_CMD_POLL waits, non-blocking iocbs transfer",
	.open = poll_open,
	.close = poll_close,
	.grow = poll_grow,
	.attach = poll_attach,
	.submit = poll_submit,
	.cancel = poll_cancel,
	.reap = poll_reap,
};
