/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A queue: the operations that wait in one direction of a proxy of a stream. They are tried one after another, in the
 * order of submission.
 */
#ifndef TAIO_QUEUE_H
#define TAIO_QUEUE_H

#include <linux/types.h>

#include "op_state.h"

struct iov_iter;
struct kiocb;
struct taio_op;
struct taio_proxy;
struct taio_queue;

/* A proxy's queues, while it is made. */
void queues_init(struct taio_proxy *proxy);
/* Hooks them to the target, if it is one that wakes. -EOPNOTSUPP: it has more than QUEUE_HOOKS wait queues. */
int queues_hook(struct taio_proxy *proxy);
/* Nothing is in flight: no wake-up comes afterwards, and no work item runs. Sleeps, but not for anybody's memory. */
void queues_end(struct taio_proxy *proxy);

/*
 * io_submit(2) on a stream: the result of a try, where INLINE asks for one and nothing waits; or -EIOCBQUEUED, after
 * which it completes exactly once; or -ENOMEM and nothing has happened.
 */
ssize_t queue_submit(struct taio_queue *queue, struct kiocb *iocb, struct iov_iter *iter);

/* The same for one that must not wait: its result, -EAGAIN if it would have to, or if others wait already. */
ssize_t queue_try(struct taio_queue *queue, struct kiocb *iocb, struct iov_iter *iter);

/* proxy->lock held, @op cancelled in WAITING and not being tried: takes it off, and has it completed. */
void queue_drop(struct taio_queue *queue, struct taio_op *op);
/*
 * The same as queue_drop() of the first, which a helper was to carry out, and which was taken back from the queue for
 * helpers.
 */
void queue_drop_tried(struct taio_queue *queue, struct taio_op *op);

/* proxy->lock held, by the policy's run(): nobody is to try now; a wake-up will have it run again. */
void queue_wait(struct taio_queue *queue);

/*
 * A runner that may sleep and has the queue busy: tries the operations until one has to wait, or is for another
 * runner.
 */
void queue_run(struct taio_queue *queue);
/* A helper has carried out the first, which is DONE: completes it, and goes on to the next. */
void queue_helped(struct taio_queue *queue, struct taio_op *op, long res);
/*
 * proxy->lock held: a helper that was to carry out the first, which is WAITING, cannot do so any more. A work item
 * tries where that can be done without waiting; the policy's run() goes on.
 */
void queue_pass_on(struct taio_queue *queue, struct taio_op *op);
/* Has the queue, which is busy, run by a work item. Any context. */
void queue_give_to_work(struct taio_queue *queue);

#endif
