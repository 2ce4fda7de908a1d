/* SPDX-License-Identifier: MIT */
/*
 * The io contexts of a process, and what must hold of them: an iocb that io_submit(2) has accepted gives one
 * event, with its own data and a result that such an operation may have; one that it has refused gives none;
 * memory behind the buffer stays as it was.
 *
 * Threads submit, take events and cancel on the same context at once, and destroy it under the others. An
 * operation's state is a word of flags. Its submitter claims it; ACCEPTED and EVENT come in either order, and
 * whoever is second frees it. A context's operations are forgotten when it is set up again, which waits until
 * nobody uses it.
 */
#include "fuzz.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONTEXTS    4
#define OPS	    48
#define OWN_BYTES   4096
#define CANARY	    64
#define BATCH	    8
#define DRAIN_MS    60000
#define RW_MAX	    0x7ffff000u /* the kernel's MAX_RW_COUNT */
#define OP_CLAIMED  1u
#define OP_ACCEPTED 2u
#define OP_EVENT    4u

struct fuzz_op {
	struct iocb iocb;
	_Atomic unsigned int state;
	_Atomic uint64_t seq; /* its data; that of its former life stays until the next */
	uint64_t asked;	      /* bytes at most */
	char *own;	      /* a buffer that no other uses */
};

enum context_state { CONTEXT_NONE, CONTEXT_CHANGING, CONTEXT_LIVE };

static struct context {
	_Atomic int state, users;
	io_context_t id;
	struct fuzz_op ops[OPS];
} contexts[CONTEXTS];

static char own_bytes[CONTEXTS][OPS][OWN_BYTES + CANARY];
static _Atomic uint64_t seqs;

/* --- use and life of a context --- */

static void leave(struct context *c)
{
	atomic_fetch_sub(&c->users, 1);
}

/* One that is alive and stays in this table until leave(); NULL: none was hit. */
static struct context *enter(struct rng *rng)
{
	unsigned int at = rng_below(rng, CONTEXTS);

	for (unsigned int i = 0; i < CONTEXTS; i++) {
		struct context *c = &contexts[(at + i) % CONTEXTS];

		atomic_fetch_add(&c->users, 1);
		if (atomic_load(&c->state) == CONTEXT_LIVE)
			return c;
		leave(c);
	}
	return NULL;
}

static void context_open(struct context *c, int entries)
{
	int none = CONTEXT_NONE;

	if (!atomic_compare_exchange_strong(&c->state, &none, CONTEXT_CHANGING))
		return;
	if (atomic_load(&c->users)) {
		atomic_store(&c->state, CONTEXT_NONE);
		return;
	}
	for (unsigned int i = 0; i < OPS; i++) {
		c->ops[i].own = own_bytes[c - contexts][i];
		memset(c->ops[i].own + OWN_BYTES, 0x5a, CANARY);
		atomic_store(&c->ops[i].state, 0);
		atomic_store(&c->ops[i].seq, 0);
	}
	c->id = NULL;
	atomic_store(&c->state, io_setup(entries, &c->id) ? CONTEXT_NONE : CONTEXT_LIVE);
}

/* While others may submit to it, wait for its events, cancel. */
static void context_close(struct context *c)
{
	int live = CONTEXT_LIVE, ret;

	if (!atomic_compare_exchange_strong(&c->state, &live, CONTEXT_CHANGING))
		return;
	ret = io_destroy(c->id);
	if (ret)
		fail_at(HERE(), "io_destroy: %d", ret);
	atomic_store(&c->state, CONTEXT_NONE);
}

void contexts_open(struct rng *rng)
{
	unsigned int n = 1 + rng_below(rng, CONTEXTS);

	for (unsigned int i = 0; i < n; i++)
		context_open(&contexts[i], 1 + (int)rng_below(rng, 64));
}

void contexts_forget(void)
{
	for (unsigned int i = 0; i < CONTEXTS; i++) {
		atomic_store(&contexts[i].users, 0);
		atomic_store(&contexts[i].state, CONTEXT_NONE);
	}
}

void contexts_destroy(void)
{
	for (unsigned int i = 0; i < CONTEXTS; i++)
		context_close(&contexts[i]);
}

CALL(io_setup, 2)
{
	static const int odd[] = {0, -1, 0x7fffffff, 70000};
	io_context_t id = NULL;

	context_open(&contexts[rng_below(&a->rng, CONTEXTS)], 1 + (int)rng_below(&a->rng, 200));
	if (rng_percent(&a->rng, 10) && !io_setup(rng_pick(&a->rng, odd), &id))
		io_destroy(id);
}

CALL(io_destroy, 1)
{
	if (rng_percent(&a->rng, 20))
		io_destroy((io_context_t)(uintptr_t)rng_next(&a->rng));
	else
		context_close(&contexts[rng_below(&a->rng, CONTEXTS)]);
}

/* --- the oracle --- */

static const int errors[] = {EAGAIN, EBADF,  ECANCELED, ECONNREFUSED, ECONNRESET,  EDESTADDRREQ, EFAULT,
			     EFBIG,  EINTR,  EINVAL,	EIO,	      EISDIR,	   EMSGSIZE,	 ENOBUFS,
			     ENOMEM, ENOSPC, ENOTCONN,	ENXIO,	      EOPNOTSUPP,  EOVERFLOW,	 EPERM,
			     EPIPE,  ESPIPE, EACCES,	EHOSTUNREACH, ENETUNREACH, ETIMEDOUT,	 ENODATA};

static bool is_error(long res)
{
	for (unsigned int i = 0; i < ARRAY_LEN(errors); i++)
		if (res == -errors[i])
			return true;
	return false;
}

static bool is_plausible(const struct fuzz_op *op, long res)
{
	switch (op->iocb.aio_lio_opcode) {
	case IO_CMD_PREAD:
	case IO_CMD_PWRITE:
	case IO_CMD_PREADV:
	case IO_CMD_PWRITEV:
		return res < 0 ? is_error(res) : (uint64_t)res <= op->asked;
	case IO_CMD_FSYNC:
	case IO_CMD_FDSYNC:
		return res <= 0 && (!res || is_error(res));
	case IO_CMD_POLL:
		return res < 0 ? is_error(res) : res <= 0xffff;
	}
	return false;
}

static void check_canary(const struct fuzz_op *op)
{
	for (unsigned int i = 0; i < CANARY; i++)
		if (op->own[OWN_BYTES + i] != 0x5a)
			fail_at(HERE(), "byte %u behind the buffer of a %s was written", i,
				op->iocb.aio_lio_opcode == IO_CMD_PREAD ? "read" : "write");
}

/* ACCEPTED or EVENT; the second frees it. Returns the flags before. */
static unsigned int op_note(struct fuzz_op *op, unsigned int flag)
{
	unsigned int was = atomic_fetch_or(&op->state, flag);

	if (was & (OP_ACCEPTED | OP_EVENT) & ~flag)
		atomic_store(&op->state, 0);
	return was;
}

static void event_check(struct context *c, const struct io_event *event)
{
	uintptr_t at = (uintptr_t)event->obj - (uintptr_t)c->ops;
	struct fuzz_op *op = &c->ops[at / sizeof(*op)];
	unsigned int was;

	atomic_fetch_add(&shared->events, 1);
	if (at >= sizeof(c->ops) || at % sizeof(*op) != offsetof(struct fuzz_op, iocb))
		fail_at(HERE(), "an event of %p, which is no iocb of this context's", (void *)event->obj);
	if ((uint64_t)(uintptr_t)event->data != atomic_load(&op->seq))
		fail_at(HERE(), "an event of submission %ju, which is over: its iocb is at %ju; res %ld",
			(uintmax_t)(uintptr_t)event->data, (uintmax_t)op->seq, (long)event->res);
	if (event->res2)
		fail_at(HERE(), "an event with res2 %ld", (long)event->res2);
	if (!is_plausible(op, (long)event->res))
		fail_at(HERE(), "opcode %d of %ju bytes gave %ld", op->iocb.aio_lio_opcode,
			(uintmax_t)op->asked, (long)event->res);
	check_canary(op);
	was = op_note(op, OP_EVENT);
	if (!(was & OP_CLAIMED) || was & OP_EVENT)
		fail_at(HERE(), "a second event, or one of a refused iocb: opcode %d, res %ld, state %u",
			op->iocb.aio_lio_opcode, (long)event->res, was);
}

static int take_events(struct context *c, long min, long max, int timeout_ms)
{
	struct timespec ts = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
	struct io_event events[OPS];
	/* libaio's looks into the ring first, which another thread's io_destroy() may unmap. */
	int n = (int)syscall(SYS_io_getevents, c->id, min, max, events, &ts);

	for (int i = 0; i < n; i++)
		event_check(c, &events[i]);
	return n;
}

/* --- submit --- */

/* RWF_ flags, and one that does not exist. */
static int rwf_pick(struct rng *rng)
{
	static const int flags[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x1000};

	return rng_percent(rng, 92) ? 0 : rng_pick(rng, flags);
}

static long long offset_pick(struct rng *rng)
{
	static const long long odd[] = {1, 511, 4096, -1, 1ll << 40, 0x7fffffffffffffffll};

	if (rng_percent(rng, 80))
		return 0;
	return rng_percent(rng, 90) ? 512 * rng_below(rng, 40) : rng_pick(rng, odd);
}

static void buffer_choose(struct rng *rng, struct fuzz_op *op)
{
	size_t nbytes;

	if (rng_percent(rng, 55)) {
		op->iocb.u.c.buf = op->own;
		op->iocb.u.c.nbytes =
			rng_percent(rng, 50) ? 512 * (1 + rng_below(rng, 8)) : rng_below(rng, OWN_BYTES + 1);
	} else {
		op->iocb.u.c.buf = memory_pick(rng, &nbytes);
		op->iocb.u.c.nbytes = nbytes;
	}
	op->asked = op->iocb.u.c.nbytes < RW_MAX ? op->iocb.u.c.nbytes : RW_MAX;
}

static void segments_choose(struct actor *a, struct fuzz_op *op, unsigned int *used)
{
	unsigned int room = ARRAY_LEN(a->iov) - *used;
	int n = segments_pick(a, *used, room);

	op->iocb.u.c.buf = &a->iov[*used];
	op->iocb.u.c.nbytes = (unsigned long)(long)n;
	op->asked = 0;
	for (int i = 0; n > 0 && (unsigned int)n <= room && i < n; i++) {
		size_t len = a->iov[*used + (unsigned int)i].iov_len;

		op->asked = len > RW_MAX || op->asked + len > RW_MAX ? RW_MAX : op->asked + len;
	}
	/* What it finds beyond the array is this process's memory. */
	if (n > 0 && (unsigned int)n > room)
		op->asked = RW_MAX;
	else if (n > 0)
		*used += (unsigned int)n;
}

/* One for all contexts of a process, for as long as it lives. */
static int event_fd(void)
{
	static _Atomic int kept = -1;
	int fd = atomic_load(&kept), none = -1;

	if (fd >= 0)
		return fd;
	fd = eventfd(0, EFD_NONBLOCK);
	if (fd >= 0 && !atomic_compare_exchange_strong(&kept, &none, fd)) {
		close(fd);
		return none;
	}
	return fd;
}

static void op_fill(struct actor *a, struct fuzz_op *op, unsigned int *used)
{
	static const short
		common[] = {IO_CMD_PREAD,  IO_CMD_PREAD,  IO_CMD_PREAD,	 IO_CMD_PWRITE,
			    IO_CMD_PWRITE, IO_CMD_PREADV, IO_CMD_PWRITEV},
		others[] = {IO_CMD_FSYNC, IO_CMD_FDSYNC, IO_CMD_POLL, IO_CMD_POLL, IO_CMD_NOOP, 4, 9, -1};
	static const int poll_masks[] = {POLLIN, POLLOUT, POLLIN | POLLRDHUP, POLLPRI, 0x10000};
	struct rng *rng = &a->rng;
	struct iocb *iocb = &op->iocb;

	*iocb = (struct iocb){.aio_fildes = rng_percent(rng, 88) ? proxy_pick(rng) : raw_pick(rng)};
	iocb->aio_lio_opcode = rng_percent(rng, 90) ? rng_pick(rng, common) : rng_pick(rng, others);
	iocb->data = (void *)(uintptr_t)atomic_load(&op->seq);
	iocb->aio_rw_flags = rwf_pick(rng);
	switch (iocb->aio_lio_opcode) {
	case IO_CMD_PREADV:
	case IO_CMD_PWRITEV:
		segments_choose(a, op, used);
		iocb->u.c.offset = offset_pick(rng);
		break;
	case IO_CMD_FSYNC:
	case IO_CMD_FDSYNC:
		break;
	case IO_CMD_POLL:
		iocb->aio_rw_flags = 0;
		iocb->u.c.buf = (void *)(long)rng_pick(rng, poll_masks);
		break;
	default:
		buffer_choose(rng, op);
		iocb->u.c.offset = offset_pick(rng);
	}
	if (rng_percent(rng, 8))
		io_set_eventfd(iocb, rng_percent(rng, 90) ? event_fd() : raw_pick(rng));
	if (rng_percent(rng, 4)) {
		iocb->u.c.flags |= 2; /* IOCB_FLAG_IOPRIO */
		iocb->aio_reqprio = (short)rng_next(rng);
	}
	if (rng_percent(rng, 1))
		iocb->u.c.flags |= 1u << rng_below(rng, 32);
}

static struct fuzz_op *op_claim(struct context *c, struct rng *rng)
{
	unsigned int at = rng_below(rng, OPS);

	for (unsigned int i = 0; i < OPS; i++) {
		struct fuzz_op *op = &c->ops[(at + i) % OPS];
		unsigned int none = 0;

		if (!atomic_compare_exchange_strong(&op->state, &none, OP_CLAIMED))
			continue;
		atomic_store(&op->seq, atomic_fetch_add(&seqs, 1) + 1);
		return op;
	}
	return NULL;
}

static void op_refused(struct fuzz_op *op)
{
	unsigned int was = atomic_exchange(&op->state, 0);

	if (was != OP_CLAIMED)
		fail_at(HERE(), "io_submit refused an iocb that gave an event: opcode %d",
			op->iocb.aio_lio_opcode);
	atomic_fetch_add(&shared->refused, 1);
}

static void op_accepted(struct fuzz_op *op)
{
	op_note(op, OP_ACCEPTED);
	atomic_fetch_add(&shared->accepted, 1);
}

CALL(submit, 40)
{
	struct context *c = enter(&a->rng);
	struct fuzz_op *ops[BATCH];
	struct iocb *iocbs[BATCH];
	unsigned int want = rng_percent(&a->rng, 60) ? 1 : 1 + rng_below(&a->rng, BATCH), n = 0, used = 0;
	int ret;

	if (!c)
		return;
	while (n < want && (ops[n] = op_claim(c, &a->rng))) {
		op_fill(a, ops[n], &used);
		iocbs[n] = &ops[n]->iocb;
		if (rng_percent(&a->rng, 1))
			iocbs[n] = NULL;
		n++;
	}
	ret = n ? io_submit(c->id, (long)n, iocbs) : 0;
	if (ret > (int)n)
		fail_at(HERE(), "io_submit of %u: %d", n, ret);
	for (unsigned int i = 0; i < n; i++)
		if ((int)i < ret)
			op_accepted(ops[i]);
		else
			op_refused(ops[i]);
	leave(c);
}

CALL(submit_odd, 1)
{
	struct iocb *none[2] = {NULL, (struct iocb *)-4096};
	size_t unused;

	io_submit((io_context_t)(uintptr_t)rng_next(&a->rng), 1, none);
	io_submit(NULL, (long)rng_next(&a->rng), memory_pick(&a->rng, &unused));
}

/* --- events and cancels --- */

CALL(getevents, 14)
{
	static const long odd[] = {0, OPS, -1};
	struct context *c = enter(&a->rng);
	long min = rng_percent(&a->rng, 90) ? rng_below(&a->rng, 3) : rng_pick(&a->rng, odd);

	if (!c)
		return;
	take_events(c, min, 1 + (long)rng_below(&a->rng, OPS),
		    rng_percent(&a->rng, 40) ? 0 : (int)rng_below(&a->rng, 8));
	leave(c);
}

static void op_cancel_checked(struct context *c, struct fuzz_op *op)
{
	struct io_event unused;
	int ret = io_cancel(c->id, &op->iocb, &unused);

	if (ret != -EINPROGRESS && ret != -EINVAL)
		fail_at(HERE(), "io_cancel: %d", ret);
	if (ret == -EINPROGRESS)
		atomic_fetch_add(&shared->cancels, 1);
}

CALL(io_cancel, 14)
{
	struct context *c = enter(&a->rng);
	unsigned int at = rng_below(&a->rng, OPS);

	if (!c)
		return;
	for (unsigned int i = 0; i < OPS; i++) {
		struct fuzz_op *op = &c->ops[(at + i) % OPS];

		if (atomic_load(&op->state) || rng_percent(&a->rng, 2)) {
			op_cancel_checked(c, op);
			break;
		}
	}
	leave(c);
}

CALL(io_cancel_odd, 1)
{
	struct context *c = enter(&a->rng);
	struct io_event unused;
	size_t nbytes;

	if (!c)
		return;
	io_cancel(c->id, memory_pick(&a->rng, &nbytes), &unused);
	leave(c);
}

/* --- the end --- */

static unsigned int outstanding(struct context *c, struct fuzz_op **one)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < OPS; i++)
		if (atomic_load(&c->ops[i].state)) {
			*one = &c->ops[i];
			n++;
		}
	return n;
}

static void context_drain(struct context *c)
{
	int64_t until = now_ms() + DRAIN_MS;
	struct fuzz_op *op = NULL;
	unsigned int left;

	for (unsigned int i = 0; i < OPS; i++)
		if (atomic_load(&c->ops[i].state))
			op_cancel_checked(c, &c->ops[i]);
	while ((left = outstanding(c, &op))) {
		if (now_ms() > until)
			fail_at(HERE(),
				"%u cancelled operations gave no event within %d s: opcode %d, fd %d, %ju "
				"bytes",
				left, DRAIN_MS / 1000, op->iocb.aio_lio_opcode, op->iocb.aio_fildes,
				(uintmax_t)op->asked);
		take_events(c, 1, OPS, 100);
	}
	if (take_events(c, 0, OPS, 0) > 0)
		fail_at(HERE(), "an event more than there were operations");
	context_close(c);
}

void contexts_drain(void)
{
	for (unsigned int i = 0; i < CONTEXTS; i++)
		if (atomic_load(&contexts[i].state) == CONTEXT_LIVE)
			context_drain(&contexts[i]);
}
