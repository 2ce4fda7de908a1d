/* SPDX-License-Identifier: GPL-2.0 */
/* The steps of an operation's life, other than waiting, which is up to its policy. */
#ifndef TAIO_OP_LIFE_H
#define TAIO_OP_LIFE_H

#include <linux/types.h>

struct iov_iter;
struct kiocb;
struct taio_op;
struct taio_proxy;

/*
 * Makes an operation of what fs/aio submits and starts it. Returns -EIOCBQUEUED, after which it completes exactly
 * once, or -ENOMEM and nothing has happened. May sleep for memory, never for the file.
 */
ssize_t op_submit(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw);

/* Runner: transfer() of the operation with its cargo entered; @nowait: returns -EAGAIN if it would have to wait. */
ssize_t op_run(struct taio_op *op, bool nowait);

/*
 * Asks for an early completion. Any context that keeps the operation from going away: under fs/aio's ctx_lock or under
 * proxy->lock. Returns true if it was the first to do so and came in time.
 */
bool op_cancel(struct taio_op *op);

/* Owner, OP_DONE: the one completion. The operation is gone afterwards, and the proxy may be, too. */
void op_complete(struct taio_op *op, long res);

#endif
