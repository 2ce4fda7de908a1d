/* SPDX-License-Identifier: MIT */
/* Invariant: an operation is in a batch if and only if it is OP_QUEUED. */
#include "ops.h"

#include "aio/taio.h"

#include <assert.h>
#include <errno.h>

struct flush {
	struct ops *ops;
	ops_refused *refused;
};

static struct op *op_of(struct iocb *iocb)
{
	return (struct op *)((char *)iocb - offsetof(struct op, iocb));
}

int ops_init(struct ops *ops, struct taio *ring, unsigned int nconns)
{
	*ops = (struct ops){.ring = ring};
	/* Before a flush, reads are appended to the writes so that one submission takes both. */
	if (!batch_reserve(&ops->writes, 2 * nconns) && !batch_reserve(&ops->reads, nconns))
		return 0;
	ops_fini(ops);
	return -ENOMEM;
}

void ops_fini(struct ops *ops)
{
	batch_fini(&ops->writes);
	batch_fini(&ops->reads);
}

static void start(struct batch *batch, struct op *op)
{
	assert(op->state == OP_IDLE);
	op->state = OP_QUEUED;
	op->cancelled = false;
	batch_add(batch, &op->iocb);
}

void ops_poll(struct ops *ops, struct op *op, int events)
{
	op->iocb.aio_lio_opcode = IO_CMD_POLL;
	op->iocb.u.c.nbytes = 0;
	op->iocb.u.poll.events = events;
	start(&ops->writes, op);
}

void ops_write(struct ops *ops, struct op *op, const char *data, size_t len)
{
	op->iocb.aio_lio_opcode = IO_CMD_PWRITE;
	op->iocb.u.c.buf = (void *)(uintptr_t)data;
	op->iocb.u.c.nbytes = len;
	start(&ops->writes, op);
}

void ops_read(struct ops *ops, struct op *op, char *data, size_t len)
{
	op->iocb.aio_lio_opcode = IO_CMD_PREAD;
	op->iocb.u.c.buf = data;
	op->iocb.u.c.nbytes = len;
	start(&ops->reads, op);
}

/* If taio_cancel() returns -ENOENT, the event has been reaped and is handled later in this turn. */
void ops_cancel(struct ops *ops, struct op *op)
{
	if (op->state == OP_IDLE || op->cancelled)
		return;
	op->cancelled = true;
	if (op->state == OP_IN_FLIGHT)
		taio_cancel(ops->ring, &op->iocb);
}

struct op *ops_complete(struct iocb *iocb)
{
	struct op *op = op_of(iocb);

	op->state = OP_IDLE;
	return op;
}

/* If the operation was cancelled while queued, cancels it now that the ring has it. */
static void outcome(void *arg, struct iocb *iocb, int err)
{
	const struct flush *flush = arg;
	struct op *op = op_of(iocb);

	if (err) {
		flush->refused(ops_complete(iocb), err);
		return;
	}
	op->state = OP_IN_FLIGHT;
	if (op->cancelled)
		taio_cancel(flush->ops->ring, iocb);
}

void ops_flush(struct ops *ops, ops_refused *refused)
{
	struct flush flush = {.ops = ops, .refused = refused};

	batch_move(&ops->writes, &ops->reads);
	batch_flush(&ops->writes, ops->ring, outcome, &flush);
}

void ops_each_write(const struct ops *ops, void (*fn)(struct op *op, void *arg), void *arg)
{
	for (unsigned int i = 0; i < ops->writes.len; i++) {
		if (ops->writes.iocbs[i]->aio_lio_opcode == IO_CMD_PWRITE)
			fn(op_of(ops->writes.iocbs[i]), arg);
	}
}
