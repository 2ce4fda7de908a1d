/* SPDX-License-Identifier: MIT */
/* Worker's thread only. The reference that the operation held is given back after its event was handled. */
#include "complete.h"

#include "base/clock.h"

#include <errno.h>
#include <stddef.h>

#define REAP_BATCH 64

static enum conn_event event_of(const struct op *op, long res)
{
	if (res == -ECANCELED)
		return EV_GONE;
	switch ((enum op_kind)op->kind) {
	case OP_READ:
		return res > 0 ? EV_IN : res == 0 ? EV_EOF : EV_IN_ERR;
	case OP_WRITE:
		return res > 0 ? EV_OUT : EV_OUT_ERR;
	case OP_FILE:
		break;
	}
	return res > 0 ? EV_FILE : EV_FILE_ERR;
}

static void account(struct shard *shard, const struct op *op, long res)
{
	static const enum counter ops[] = {
		[OP_READ] = COUNT_reads, [OP_WRITE] = COUNT_writes, [OP_FILE] = COUNT_file_reads};

	count_add(&shard->counters, ops[op->kind], 1);
	if (res > 0 && op->kind == OP_READ)
		count_by(&shard->counters, bytes_in, res);
	else if (res > 0 && op->kind == OP_WRITE)
		count_by(&shard->counters, bytes_out, res);
}

static void account_cancel(struct conn *c, long res)
{
	if (res != -ECANCELED)
		count(&c->shard->counters, cancel_raced);
	c->cancel_took_us = (uint32_t)(clock_us() - c->cancel_us);
	hist_add(&c->shard->cancel_us, c->cancel_took_us);
}

void complete_op(struct op *op, long res)
{
	struct conn *c = op->iocb.data;

	conn_check(c);
	assert(op->in_flight);
	op->in_flight = false;
	account(c->shard, op, res);
	if (op->cancelled)
		account_cancel(c, res);
	c->shard->on_event(c, event_of(op, res), res);
	conn_put(c);
}

int complete_reap(struct shard *shard)
{
	struct io_event events[REAP_BATCH];
	int n = taio_reap(shard->ring, REAP_BATCH, events);

	for (int i = 0; i < n; i++)
		complete_op((struct op *)((char *)events[i].obj - offsetof(struct op, iocb)),
			    (long)events[i].res);
	return n;
}
