/* SPDX-License-Identifier: MIT */
#include "batch_op.h"

#include "taio.h"

struct flush {
	struct taio *ring;
	op_refused *refused;
};

bool op_cancel(struct op *op, struct taio *ring)
{
	if (op->state == OP_IDLE || op->cancelled)
		return false;
	op->cancelled = true;
	if (op->state == OP_IN_FLIGHT)
		taio_cancel(ring, &op->iocb);
	return true;
}

static void outcome(void *arg, struct iocb *iocb, int err)
{
	const struct flush *flush = arg;
	struct op *op = op_of(iocb);

	if (err) {
		flush->refused(op_done(iocb), err);
		return;
	}
	op->state = OP_IN_FLIGHT;
	if (op->cancelled)
		taio_cancel(flush->ring, iocb);
}

bool op_flush(struct batch *batch, struct taio *ring, op_refused *refused)
{
	struct flush flush = {.ring = ring, .refused = refused};

	return batch_flush(batch, ring, outcome, &flush);
}
