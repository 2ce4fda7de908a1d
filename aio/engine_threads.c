/* SPDX-License-Identifier: MIT */
/*
 * Engine threads: helper threads in user space carry operations out. Owns the ring, its operations and the
 * way from submit to a helper and back; everything here but threads_op_finish() and once_run() is called on
 * the ring's thread.
 *
 * Where an operation goes:
 *   file, /dev/null, RWF_NOWAIT  to a helper, once: it does not wait for a peer. Queued if all are busy
 *   stream, policy block         to a helper of its own, which blocks for it; parked if there is none
 *   stream, policy park          to the epoll set, from where a poller runs it
 *
 * One poller lives as long as the ring, and the pool keeps one helper free of operations that wait. So
 * waiting reads never prevent a write or a file operation from being carried out, whatever the cap.
 */
#include "engine_threads.h"

#include "engine_threads_block.h"
#include "engine_threads_park.h"
#include "slots.h"
#include "transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	HELPERS_BLOCK = 64,
	HELPERS_PARK = 16,
};

struct threads_ring {
	struct taio ring;
	struct slots slots;
	struct threads_op *ops; /* by slot */
	struct pool *pool;
	struct done done;
	struct job_list taken; /* from the done list, not handed out */
	struct park park;
	bool blocks; /* policy block */
};

static struct threads_ring *to_threads(struct taio *ring)
{
	return (struct threads_ring *)ring;
}

/* Job: one attempt that does not wait for a peer. */
static void once_run(struct job *job)
{
	struct threads_op *op = job_to_op(job);
	const struct iocb *iocb = op->waiter.iocb;
	long res = -ECANCELED;

	if (op_step(op, OP_QUEUED, OP_MOVING))
		res = transfer_now(iocb, op->class);
	threads_op_finish(op, res);
}

/* True: @op, a read of no bytes from a stream, is done. */
static bool try_now(struct threads_op *op)
{
	long res = transfer_now(op->waiter.iocb, TAIO_CLASS_STREAM);

	if (res == -EAGAIN)
		return false;
	threads_op_finish(op, res);
	return true;
}

/* Whether a call may answer @iocb at once where epoll reports nothing. */
static bool is_tried_first(struct threads_ring *r, const struct iocb *iocb)
{
	return iocb->aio_lio_opcode != IO_CMD_POLL &&
	       (file_tries_first(&r->ring, iocb->aio_fildes) || iocb_is_empty_write(iocb));
}

static void park_op(struct threads_ring *r, struct threads_op *op)
{
	const struct iocb *iocb = op->waiter.iocb;

	if (!is_tried_first(r, iocb))
		park_submit(&r->park, op);
	else if (park_try(&r->park, op))
		file_waits(&r->ring, iocb->aio_fildes);
}

static int start(struct threads_ring *r, struct threads_op *op)
{
	const struct iocb *iocb = op->waiter.iocb;

	if (op->class == TAIO_CLASS_FILE || iocb_is_nowait(iocb) ||
	    waiters_at(&r->park.waiters, iocb->aio_fildes)->never_waits) {
		op->job.run = once_run;
		return pool_submit(r->pool, &op->job, true);
	}
	if (!transfer_may_wait(iocb) && try_now(op))
		return 0;
	op->job.run = block_run;
	if (!r->blocks || pool_submit(r->pool, &op->job, false) < 0)
		park_op(r, op);
	return 0;
}

static void op_free(struct threads_ring *r, struct threads_op *op)
{
	op->waiter.iocb = NULL;
	slot_put(&r->slots, op - r->ops);
}

static int submit_one(struct threads_ring *r, struct iocb *iocb)
{
	int slot = slot_get(&r->slots);
	struct threads_op *op;
	int err;

	if (slot == SLOT_NONE)
		return -EAGAIN;
	op = &r->ops[slot];
	iocb->key = slot;
	op->waiter.iocb = iocb;
	op->done = &r->done;
	op->class = file_class(&r->ring, iocb->aio_fildes);
	op->is_parked = false;
	atomic_store(&op->state, OP_QUEUED);
	err = start(r, op);
	if (err < 0)
		op_free(r, op);
	return err;
}

static int threads_submit(struct taio *ring, long nr, struct iocb **iocbs)
{
	long i;

	for (i = 0; i < nr; i++) {
		int err = submit_one(to_threads(ring), iocbs[i]);

		if (err < 0)
			return i > 0 ? i : err;
	}
	return i;
}

static int cancel_op(struct threads_ring *r, struct threads_op *op)
{
	if (op->is_parked)
		return park_cancel(&r->park, op);
	switch (threads_op_cancel(op)) {
	case OP_QUEUED:
		/* If a helper has just taken it, that helper finishes it. */
		if (pool_withdraw(r->pool, &op->job))
			threads_op_finish(op, -ECANCELED);
		return 0;
	case OP_WAITING:
		block_interrupt(op);
		return 0;
	case OP_MOVING:
	case OP_WITHDRAWN:
	case OP_MOVING_CANCEL:
	case OP_CANCELLED:
		return 0;
	case OP_FREE:
	case OP_DONE:
		break;
	}
	return -ENOENT;
}

static int threads_cancel(struct taio *ring, struct iocb *iocb)
{
	struct threads_ring *r = to_threads(ring);
	struct threads_op *op;
	int ret;

	if (iocb->key >= r->slots.used || r->ops[iocb->key].waiter.iocb != iocb)
		return -ENOENT;
	op = &r->ops[iocb->key];
	ret = cancel_op(r, op);
	if (ret == 0 && op->is_parked && iocb->aio_lio_opcode != IO_CMD_POLL)
		park_try_next(&r->park, iocb);
	return ret;
}

static bool take_done(struct threads_ring *r)
{
	eventfd_t count;

	done_take(&r->done, &r->taken);
	if (!STAILQ_EMPTY(&r->taken))
		return true;
	/* Before the caller sleeps: reset first, then look again. */
	if (eventfd_read(r->ring.fd, &count) < 0)
		return false;
	done_take(&r->done, &r->taken);
	return !STAILQ_EMPTY(&r->taken);
}

static int threads_reap(struct taio *ring, long nr, struct io_event *events)
{
	struct threads_ring *r = to_threads(ring);
	long n = 0;

	if (STAILQ_EMPTY(&r->taken) && !take_done(r))
		return 0;
	while (n < nr && !STAILQ_EMPTY(&r->taken)) {
		struct threads_op *op = job_to_op(STAILQ_FIRST(&r->taken));

		STAILQ_REMOVE_HEAD(&r->taken, link);
		event_fill(&events[n++], op->waiter.iocb, op->res);
		op_free(r, op);
	}
	return n;
}

static int threads_attach(struct taio *ring, int fd, enum taio_class class)
{
	struct threads_ring *r = to_threads(ring);
	int err;

	if (class == TAIO_CLASS_FILE)
		return fd;
	err = stream_unblock(ring, fd);
	if (err == 0)
		err = park_attach(&r->park, fd);
	return err < 0 ? err : fd;
}

static void threads_detach(struct taio *ring, int afd)
{
	if (file_class(ring, afd) == TAIO_CLASS_STREAM)
		park_detach(&to_threads(ring)->park, afd);
}

/* Pollers never block in a transfer: more of them than processors would only compete. */
static unsigned int pollers_max(unsigned int cap)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int nr = cpus > 0 ? cpus : 1;

	return nr < cap - 1 ? nr : cap - 1;
}

static int open_helpers(struct threads_ring *r, unsigned int cap, char *why)
{
	int err = pool_create(&r->pool, cap);

	if (err < 0)
		return err;
	err = park_open(&r->park, r->pool, r->blocks ? 1 : pollers_max(cap));
	if (err == -EAGAIN)
		snprintf(why, TAIO_WHY_LEN,
			 "cannot start a helper thread: raise ulimit -u, or TasksMax of the systemd unit");
	if (err < 0)
		pool_destroy(r->pool);
	return err;
}

static int open_ring(struct threads_ring *r, const struct taio_params *params, char *why)
{
	unsigned int cap = params->helpers_max;
	int err;

	if (cap == 0)
		cap = r->blocks ? HELPERS_BLOCK : HELPERS_PARK;
	r->ring.entries = params->entries;
	STAILQ_INIT(&r->taken);
	r->ops = calloc(r->ring.entries, sizeof(*r->ops));
	if (r->ops == NULL)
		return -ENOMEM;
	slots_init(&r->slots, r->ring.entries, &r->ops[0].link, sizeof(r->ops[0]));
	r->ring.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->ring.fd < 0) {
		err = -errno;
		goto free_ops;
	}
	done_init(&r->done, r->ring.fd);
	err = open_helpers(r, cap < 2 ? 2 : cap, why);
	if (err == 0)
		return 0;
	done_fini(&r->done);
	close(r->ring.fd);
free_ops:
	free(r->ops);
	return err;
}

static int threads_open(struct taio **ring, bool blocks, const struct taio_params *params, char *why)
{
	struct threads_ring *r;
	int err = 0;

	why[0] = '\0';
	if (blocks)
		err = block_init(why);
	if (err < 0)
		return err;
	r = calloc(1, sizeof(*r));
	err = -ENOMEM;
	if (r != NULL) {
		r->blocks = blocks;
		err = open_ring(r, params, why);
	}
	if (err == 0) {
		*ring = &r->ring;
		return 0;
	}
	free(r);
	if (why[0] == '\0')
		snprintf(why, TAIO_WHY_LEN, "threads: %s", strerror(-err));
	return err;
}

static int park_ring_open(struct taio **ring, const struct taio_params *params, char *why)
{
	return threads_open(ring, false, params, why);
}

static int block_ring_open(struct taio **ring, const struct taio_params *params, char *why)
{
	return threads_open(ring, true, params, why);
}

static void threads_close(struct taio *ring)
{
	struct threads_ring *r = to_threads(ring);

	for (unsigned int i = 0; i < r->slots.used; i++) {
		if (r->ops[i].waiter.iocb != NULL)
			cancel_op(r, &r->ops[i]);
	}
	park_stop(&r->park);
	/* Every operation that a helper has begun is about to end; this waits for the last. */
	pool_destroy(r->pool);
	park_fini(&r->park);
	done_fini(&r->done);
	close(r->ring.fd);
	free(r->ops);
	free(r);
}

#define THREADS_ENGINE(id, policy_name, how)                                                                 \
	const struct engine engine_threads_##id = {                                                          \
		.name = "threads:" policy_name,                                                              \
		.summary = how,                                                                              \
		.open = id##_ring_open,                                                                      \
		.close = threads_close,                                                                      \
		.attach = threads_attach,                                                                    \
		.detach = threads_detach,                                                                    \
		.submit = threads_submit,                                                                    \
		.cancel = threads_cancel,                                                                    \
		.reap = threads_reap,                                                                        \
	}

THREADS_ENGINE(park, "park", "waits in an epoll set, from where helper threads run what is ready");
THREADS_ENGINE(block, "block", "a helper thread blocks in ppoll for each operation; cancelled by a signal");
