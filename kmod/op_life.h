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
 * Makes an operation of what fs/aio submits, ARMING, or returns NULL without memory. From then on a cancel of fs/aio
 * may come; it has to be listed, and to complete. May sleep for memory, never for the file.
 */
struct taio_op *op_begin(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw);
/* proxy->lock held: puts it on the proxy's list, where TAIO_IOC_CANCEL finds it. */
void op_list(struct taio_op *op);

/* The same on a file, and starts it: -EIOCBQUEUED, after which it completes exactly once, or -ENOMEM. */
ssize_t op_submit(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw);

/*
 * Runner: a transfer of what is left of the operation, with its cargo entered. @nowait: returns -EAGAIN if it would
 * have to wait for the file, -EBUSY or -EINTR if for anything else (transfer.h).
 */
ssize_t op_run(struct taio_op *op, bool nowait);
/* Runner: after op_run() gave @res, is there more to be written? On a stream all is, as by a write(2) that waits. */
bool op_goes_on(const struct taio_op *op, ssize_t res);
/* Runner that waits: op_run() until the operation has its result, or is cancelled. */
ssize_t op_run_to_end(struct taio_op *op);

/*
 * Asks for an early completion. Under proxy->lock, and where the operation is kept from going away: it is on the
 * proxy's list, or fs/aio's ctx_lock is held. Returns true if it was the first to do so and came in time.
 */
bool op_cancel(struct taio_op *op);

/* It was cancelled while it waited, and is in no queue any more: a work item completes it. Any context. */
void op_give_up(struct taio_op *op);

/*
 * Owner, OP_DONE: the one completion, with @res, or the bytes that were transferred before. The operation is gone
 * afterwards, and the proxy may be, too.
 */
void op_complete(struct taio_op *op, long res);
/* Its two halves, for a caller that has the lock anyway. proxy->lock held: takes it off the proxy's list. */
void op_unlist(struct taio_op *op);
/* The rest. */
void op_end(struct taio_op *op, long res);

int op_works_create(void);
void op_works_destroy(void);

#endif
