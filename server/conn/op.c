/* SPDX-License-Identifier: MIT */
#include "op.h"

int conn_op_reserve(struct shard *shard, unsigned int nconns)
{
	return batch_reserve(&shard->batch, 2 * nconns);
}

static void start(struct conn *c, struct op *op)
{
	assert(op->state == OP_IDLE);
	op->iocb.data = c;
	op->state = OP_QUEUED;
	op->cancelled = false;
	conn_get(c);
	batch_add(&c->shard->batch, &op->iocb);
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
	if (op->state == OP_IDLE || op->cancelled)
		return;
	op->cancelled = true;
	c->cancel_us = c->shard->now_us;
	count(&c->shard->counters, cancels);
	/* An operation that is still queued is cancelled once the ring has it (turn.c). */
	if (op->state == OP_IN_FLIGHT)
		taio_cancel(c->shard->ring, &op->iocb);
}
