/* SPDX-License-Identifier: MIT */
/*
 * Operations of connections, from being started until their event. Those started during a turn of the loop
 * are submitted together: writes first, because then a response may already be there when its read is tried.
 */
#ifndef OPS_H
#define OPS_H

#include "aio/batch.h"

#include <libaio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op_state {
	OP_IDLE,      /* not started */
	OP_QUEUED,    /* waits for ops_flush() */
	OP_IN_FLIGHT, /* the ring has it */
};

/* Only ops.c writes it, except iocb.data and iocb.aio_fildes, which belong to the connection. */
struct op {
	struct iocb iocb;
	uint8_t state; /* enum op_state */
	bool cancelled;
};

struct ops {
	struct taio *ring;
	struct batch writes, reads; /* writes also holds what the ring had no room for */
};

/* Reserves room for @nconns operations of each kind. 0 or -ENOMEM. */
int ops_init(struct ops *ops, struct taio *ring, unsigned int nconns);
void ops_fini(struct ops *ops);

/* Start an idle operation. The buffer must stay until the event. */
void ops_poll(struct ops *ops, struct op *op, int events);
void ops_write(struct ops *ops, struct op *op, const char *data, size_t len);
void ops_read(struct ops *ops, struct op *op, char *data, size_t len);

/* Asks for the operation's event sooner; does nothing if the operation is idle. */
void ops_cancel(struct ops *ops, struct op *op);

/* The event of @iocb has arrived: returns its operation, idle again. */
struct op *ops_complete(struct iocb *iocb);

/* Called with an operation that the ring refused, idle again, and a negative errno in place of its result. */
typedef void ops_refused(struct op *op, long err);

/* Submits what is queued. What the ring has no room for stays for the next flush. */
void ops_flush(struct ops *ops, ops_refused *refused);

/* Calls @fn for each write that ops_flush() would submit. */
void ops_each_write(const struct ops *ops, void (*fn)(struct op *op, void *arg), void *arg);

static inline bool op_is_idle(const struct op *op)
{
	return op->state == OP_IDLE;
}

#endif
