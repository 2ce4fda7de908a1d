/* SPDX-License-Identifier: MIT */
/*
 * Operations of connections, from being started until their event. Those started during a turn of the loop
 * are submitted together: writes first, because then a response may already be there when its read is tried.
 */
#ifndef OPS_H
#define OPS_H

#include "aio/batch_op.h"

#include <stddef.h>

struct ops {
	struct taio *ring;
	struct batch writes, reads; /* writes also holds what the ring had no room for */
};

/* Reserves room for @nconns operations of each kind. 0 or -ENOMEM. */
int ops_init(struct ops *ops, struct taio *ring, unsigned int nconns);
void ops_fini(struct ops *ops);

/* Start an idle operation, for which data and aio_fildes are set. The buffer must stay until the event. */
void ops_poll(struct ops *ops, struct op *op, int events);
void ops_write(struct ops *ops, struct op *op, const char *data, size_t len);
void ops_read(struct ops *ops, struct op *op, char *data, size_t len);

/* Submits what is queued. What the ring has no room for stays for the next flush. */
void ops_flush(struct ops *ops, op_refused *refused);

/* Calls @fn for each write that ops_flush() would submit. */
void ops_each_write(const struct ops *ops, void (*fn)(struct op *op, void *arg), void *arg);

#endif
