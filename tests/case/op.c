/* SPDX-License-Identifier: MIT */
/* Operations: their iocbs, and one event for each. */
#include "tests/case/op.h"

#include "tests/case/check.h"

static void op_reset(struct op *op)
{
	op->res = 0;
	op->events = 0;
	op->iocb.data = op;
}

void op_read(struct op *op, int fd, void *buf, size_t nbytes)
{
	io_prep_pread(&op->iocb, fd, buf, nbytes, 0);
	op_reset(op);
}

void op_write(struct op *op, int fd, const void *buf, size_t nbytes)
{
	io_prep_pwrite(&op->iocb, fd, (void *)buf, nbytes, 0);
	op_reset(op);
}

void op_readv(struct op *op, int fd, const struct iovec *iov, int niov)
{
	io_prep_preadv(&op->iocb, fd, iov, niov, 0);
	op_reset(op);
}

void op_writev(struct op *op, int fd, const struct iovec *iov, int niov)
{
	io_prep_pwritev(&op->iocb, fd, iov, niov, 0);
	op_reset(op);
}

void op_poll(struct op *op, int fd, int events)
{
	io_prep_poll(&op->iocb, fd, events);
	op_reset(op);
}

void op_event(struct op *op, const struct io_event *event)
{
	static _Atomic uint64_t taken;

	op->nth = ++taken;
	if (op->events++)
		fail_at(THERE(), "second event of an operation: %ld after %ld", (long)event->res, op->res);
	op->res = (long)event->res;
}
