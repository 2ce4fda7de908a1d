/* SPDX-License-Identifier: MIT */
#include "op.h"

#include "server/probes.h"

#include <poll.h>

int conn_op_reserve(struct shard *shard, unsigned int nconns)
{
	return batch_reserve(&shard->batch, conn_ops(shard, nconns));
}

static void start(struct conn *c, struct op *op)
{
	op->iocb.data = c;
	op->stamp = (uint32_t)c->shard->now_us;
	conn_get(c);
	probe4(op_submit, c, c->fd, op->kind, op->iocb.u.c.nbytes);
	op_start(op, &c->shard->batch);
}

void conn_op_connect(struct conn *c)
{
	io_prep_pwrite(&c->wr.iocb, c->afd, c->tail, 0, 0);
	c->wr.kind = OP_CONNECT;
	start(c, &c->wr);
}

void conn_op_room(struct conn *c)
{
	io_prep_poll(&c->wr.iocb, c->afd, POLLOUT);
	c->wr.kind = OP_ROOM;
	start(c, &c->wr);
}

void conn_op_read(struct conn *c, char *data, size_t len)
{
	io_prep_pread(&c->rd.iocb, c->afd, data, len, 0);
	start(c, &c->rd);
}

void conn_op_write(struct conn *c, const char *data, size_t len)
{
	io_prep_pwrite(&c->wr.iocb, c->afd, (void *)(uintptr_t)data, len, 0);
	c->wr.kind = OP_WRITE;
	start(c, &c->wr);
}

void conn_op_read_file(struct conn *c, int afd, char *data, size_t len, uint64_t offset)
{
	io_prep_pread(&c->wr.iocb, afd, data, len, (long long)offset);
	c->wr.kind = OP_FILE;
	start(c, &c->wr);
}

void conn_op_cancel(struct conn *c, struct op *op)
{
	bool rereads = op == &c->rd && conn_op_is_cancelling(op) && c->rereads;

	if (!rereads && !op_cancel(op, c->shard->ring))
		return;
	if (rereads) /* that is over: it was cancelled for this, too */
		c->rereads = false;
	c->cancel_us = c->shard->now_us;
	count(&c->shard->counters, cancels);
	probe3(op_cancel, c, c->fd, op->kind);
}
