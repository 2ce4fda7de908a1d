/* SPDX-License-Identifier: MIT */
/*
 * Operations that are started one by one, submitted together and cancelled at any time, even before the ring
 * has them. Used by the ring's thread.
 *
 * Invariant: an operation is in a batch if and only if it is OP_QUEUED.
 */
#ifndef AIO_BATCH_OP_H
#define AIO_BATCH_OP_H

#include "batch.h"

#include <assert.h>
#include <libaio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op_state {
	OP_IDLE,      /* not started, or its event has been handed out */
	OP_QUEUED,    /* in a batch, not yet submitted */
	OP_IN_FLIGHT, /* the ring has it; its event will come */
};

/* All zero is idle. The iocb, the kind and the stamp are the owner's; only the functions below write the rest. */
struct op {
	struct iocb iocb;
	uint8_t kind;
	uint8_t state;	/* enum op_state */
	bool cancelled; /* its event has been asked for sooner; stays until it is started again */
	uint32_t stamp; /* the owner's */
};

static inline struct op *op_of(struct iocb *iocb)
{
	return (struct op *)((char *)iocb - offsetof(struct op, iocb));
}

static inline bool op_is_idle(const struct op *op)
{
	return op->state == OP_IDLE;
}

/* Queues an idle operation, whose iocb is filled in. @batch must have room. */
static inline void op_start(struct op *op, struct batch *batch)
{
	assert(op->state == OP_IDLE);
	op->state = OP_QUEUED;
	op->cancelled = false;
	batch_add(batch, &op->iocb);
}

/* The event of @iocb has arrived, or none will: returns its operation, idle again. */
static inline struct op *op_done(struct iocb *iocb)
{
	struct op *op = op_of(iocb);

	assert(op->state != OP_IDLE);
	op->state = OP_IDLE;
	return op;
}

/*
 * Asks for the event sooner; one that is still queued is cancelled once the ring has it. Does nothing and
 * returns false if the operation is idle or was asked already. If taio_cancel() returns -ENOENT, the event
 * has been reaped and is handled later in this turn.
 */
bool op_cancel(struct op *op, struct taio *ring);

/* The ring has refused @op, which is idle again, and there will be no event; @err is a negative errno. */
typedef void op_refused(struct op *op, long err);

/* batch_flush() of a batch of operations. True if the ring was full: the rest waits for the next flush. */
bool op_flush(struct batch *batch, struct taio *ring, op_refused *refused);

#endif
