/* SPDX-License-Identifier: MIT */
/* Worker's thread only. op.iocb.data is the connection; op.queued says that the ring does not know it yet. */
#include "op.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int io_reserve(struct shard *shard, unsigned int nconns)
{
	unsigned int cap = shard->batch.cap ? shard->batch.cap : 64;
	struct iocb **iocbs;

	while (cap < 2 * nconns)
		cap *= 2;
	if (cap == shard->batch.cap)
		return 0;
	iocbs = realloc(shard->batch.iocbs, cap * sizeof(*iocbs));
	if (!iocbs)
		return -ENOMEM;
	shard->batch.iocbs = iocbs;
	shard->batch.cap = cap;
	return 0;
}

void io_fini(struct shard *shard)
{
	free(shard->batch.iocbs);
	shard->batch = (struct batch){0};
}

static struct op *to_op(struct iocb *iocb)
{
	return (struct op *)((char *)iocb - offsetof(struct op, iocb));
}

static void gather(struct conn *c, struct op *op)
{
	struct batch *batch = &c->shard->batch;

	assert(!op->in_flight && batch->len < batch->cap);
	op->iocb.data = c;
	op->in_flight = true;
	op->queued = true;
	op->cancelled = false;
	conn_get(c);
	batch->iocbs[batch->len++] = &op->iocb;
}

void io_read(struct conn *c, char *data, size_t len)
{
	io_prep_pread(&c->rd.iocb, c->afd, data, len, 0);
	gather(c, &c->rd);
}

void io_write(struct conn *c, const char *data, size_t len)
{
	io_prep_pwrite(&c->wr.iocb, c->afd, (void *)(uintptr_t)data, len, 0);
	c->wr.kind = OP_WRITE;
	gather(c, &c->wr);
}

void io_read_file(struct conn *c, int afd, char *data, size_t len, uint64_t offset)
{
	io_prep_pread(&c->wr.iocb, afd, data, len, (long long)offset);
	c->wr.kind = OP_FILE;
	gather(c, &c->wr);
}

void io_cancel_op(struct conn *c, struct op *op)
{
	if (!op->in_flight || op->cancelled)
		return;
	op->cancelled = true;
	c->cancel_us = c->shard->now_us;
	count(&c->shard->counters, cancels);
	/* One that is still in the batch is cancelled when the ring has it. */
	if (!op->queued)
		taio_cancel(c->shard->ring, &op->iocb);
}

static void accepted(struct shard *shard, struct op *op)
{
	op->queued = false;
	if (op->cancelled)
		taio_cancel(shard->ring, &op->iocb);
}

void io_flush(struct shard *shard, io_refused *refused)
{
	struct batch *batch = &shard->batch;
	unsigned int head = 0;

	if (!batch->len)
		return;
	count(&shard->counters, submits);
	while (head < batch->len) {
		int n = taio_submit(shard->ring, (long)(batch->len - head), batch->iocbs + head);

		if (n == -EAGAIN) {
			count(&shard->counters, ring_full);
			break;
		}
		for (int i = 0; i < n; i++)
			accepted(shard, to_op(batch->iocbs[head + (unsigned int)i]));
		if (n < 0) { /* refused() may gather more behind the end of the batch */
			struct op *op = to_op(batch->iocbs[head]);

			op->queued = false;
			refused(op, n);
			n = 1;
		}
		head += (unsigned int)n;
	}
	batch->len -= head;
	memmove(batch->iocbs, batch->iocbs + head, batch->len * sizeof(batch->iocbs[0]));
}
