/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include <errno.h>

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

void ops_poll(struct ops *ops, struct op *op, int events)
{
	op->iocb.aio_lio_opcode = IO_CMD_POLL;
	op->iocb.u.c.nbytes = 0;
	op->iocb.u.poll.events = events;
	op_start(op, &ops->writes);
}

void ops_write(struct ops *ops, struct op *op, const char *data, size_t len)
{
	op->iocb.aio_lio_opcode = IO_CMD_PWRITE;
	op->iocb.u.c.buf = (void *)(uintptr_t)data;
	op->iocb.u.c.nbytes = len;
	op_start(op, &ops->writes);
}

void ops_read(struct ops *ops, struct op *op, char *data, size_t len)
{
	op->iocb.aio_lio_opcode = IO_CMD_PREAD;
	op->iocb.u.c.buf = data;
	op->iocb.u.c.nbytes = len;
	op_start(op, &ops->reads);
}

void ops_flush(struct ops *ops, op_refused *refused)
{
	batch_move(&ops->writes, &ops->reads);
	op_flush(&ops->writes, ops->ring, refused);
}

void ops_each_write(const struct ops *ops, void (*fn)(struct op *op, void *arg), void *arg)
{
	for (unsigned int i = 0; i < ops->writes.len; i++) {
		if (ops->writes.iocbs[i]->aio_lio_opcode == IO_CMD_PWRITE)
			fn(op_of(ops->writes.iocbs[i]), arg);
	}
}
