// SPDX-License-Identifier: GPL-2.0
/*
 * The life of an operation except its waiting: started by its policy, transferred by a runner, completed exactly once.
 *
 * The order in op_begin() is what fs/aio demands: everything that can fail; iocb->private; kiocb_set_cancel_fn(); then
 * the proxy's list, and start. From kiocb_set_cancel_fn() on a cancel may come, and an error is completed, never
 * returned. The order in op_complete(): off the proxy's list, ki_complete(), then free. Once it is off the list,
 * TAIO_IOC_CANCEL does not find it; after ki_complete() no cancel of fs/aio is running or can run for it.
 */
#include <linux/aio.h>
#include <linux/jiffies.h>
#include <linux/llist.h>
#include <linux/sched/signal.h>
#include <linux/workqueue.h>

#include "counters.h"
#include "op.h"
#include "op_life.h"
#include "op_state.h"
#include "policy.h"
#include "proxy.h"
#include "trace.h"
#include "transfer.h"

static LLIST_HEAD(given_up);
static struct workqueue_struct *works;

/* A work item: completes what was cancelled while it waited. Touches no memory of a user's, and so is never held up. */
static void complete_given_up(struct work_struct *work)
{
	struct llist_node *node = llist_reverse_order(llist_del_all(&given_up));
	struct taio_op *op, *next;

	llist_for_each_entry_safe(op, next, node, given_up) {
		long res = -ECANCELED;

		op_finish(&op->state, &res);
		op_complete(op, res);
	}
}

static DECLARE_WORK(given_up_work, complete_given_up);

void op_give_up(struct taio_op *op)
{
	if (llist_add(&op->given_up, &given_up))
		queue_work(works, &given_up_work);
}

bool op_cancel(struct taio_op *op)
{
	enum op_state was;

	if (!op_mark_cancelled(&op->state, &was))
		return false;
	trace_taio_cancel(op, was);
	/* In ARMING its submitter finds it cancelled. */
	if (was != OP_ARMING)
		op->proxy->policy->cancelled(op, was);
	return true;
}

/* A kiocb_cancel_fn. */
static int cancel_iocb(struct kiocb *iocb)
{
	struct taio_op *op = iocb->private;
	struct taio_proxy *proxy = op->proxy;
	unsigned long flags;

	spin_lock_irqsave(&proxy->lock, flags);
	op_cancel(op);
	spin_unlock_irqrestore(&proxy->lock, flags);
	return 0;
}

struct taio_op *op_begin(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	struct taio_op *op = op_create(proxy, iocb, iter, rw);

	if (!op)
		return NULL;
	count(submitted);
	trace_taio_submit(op);
	iocb->private = op;
	kiocb_set_cancel_fn(iocb, cancel_iocb);
	return op;
}

void op_list(struct taio_op *op)
{
	list_add_tail(&op->link, &op->proxy->ops);
	op->proxy->nops++;
}

ssize_t op_submit(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	struct taio_op *op = op_begin(proxy, iocb, iter, rw);

	if (!op)
		return -ENOMEM;
	spin_lock_irq(&proxy->lock);
	op_list(op);
	spin_unlock_irq(&proxy->lock);
	proxy->policy->start(op);
	/* Neither op nor iocb may be touched from here on. */
	return -EIOCBQUEUED;
}

/*
 * A work item, whose thread all users share. A page of the user's may never come (userfaultfd, FUSE, a dead server of
 * files), and nothing could end the wait for it.
 */
static bool runs_without_faults(void)
{
	return current->flags & PF_WQ_WORKER;
}

static ssize_t run(struct taio_op *op, struct kiocb *from, struct iov_iter *iter, bool nowait)
{
	if (!nowait)
		return transfer_wait(op->proxy, from, iter, op->rw);
	if (runs_without_faults())
		return transfer_without_faults(op->proxy, from, iter, op->rw);
	return transfer_try(op->proxy, from, iter, op->rw);
}

ssize_t op_run(struct taio_op *op, bool nowait)
{
	struct kiocb from = {
		.ki_pos = op->iocb->ki_pos,
		.ki_flags = op->iocb->ki_flags,
	};
	struct iov_iter iter = op->iter;
	struct op_saved saved;
	ssize_t res;

	cargo_enter(&op->cargo, &saved);
	if (op->proxy->state & TAIO_STATE_IOCONTEXT)
		from.ki_ioprio = op->cargo.ioprio;
	trace_taio_start(op);
	res = run(op, &from, &iter, nowait);
	cargo_leave(&op->cargo, &saved);
	if (res > 0) {
		op->done += res;
		iov_iter_advance(&op->iter, res);
	}
	return res;
}

bool op_goes_on(const struct taio_op *op, ssize_t res)
{
	return op->rw == WRITE && res > 0 && iov_iter_count(&op->iter) && !op->proxy->is_file;
}

/* SO_RCVTIMEO or SO_SNDTIMEO is over, which no other runner looks at. */
static bool is_timeout(const struct taio_op *op, ssize_t res)
{
	return res == -EAGAIN && op->proxy->sock;
}

/* A negative timeout is over at once, each time, and before the socket looks for a signal. */
ssize_t op_run_to_end(struct taio_op *op)
{
	unsigned long begun;
	ssize_t res;

	for (;;) {
		begun = jiffies;
		res = op_run(op, false);
		if (op_is_cancelled(&op->state) || !(op_goes_on(op, res) || is_timeout(op, res)))
			return res;
		if (!is_timeout(op, res))
			continue;
		if (signal_pending(current))
			return -ERESTARTSYS;
		if (!time_after(jiffies, begun))
			schedule_timeout_interruptible(1);
	}
}

void op_unlist(struct taio_op *op)
{
	list_del(&op->link);
	op->proxy->nops--;
}

void op_end(struct taio_op *op, long res)
{
	struct kiocb *iocb = op->iocb;

	if (op->done)
		res = op->done;
	if (op->proxy->policy->completed)
		op->proxy->policy->completed(op);
	if (res == -ECANCELED)
		count(cancelled);
	count(completed);
	trace_taio_complete(op, res);
	iocb->ki_complete(iocb, res);
	op_free(op);
}

void op_complete(struct taio_op *op, long res)
{
	struct taio_proxy *proxy = op->proxy;
	unsigned long flags;

	spin_lock_irqsave(&proxy->lock, flags);
	op_unlist(op);
	spin_unlock_irqrestore(&proxy->lock, flags);
	op_end(op, res);
}

int op_works_create(void)
{
	works = alloc_workqueue("taio-cancel", WQ_UNBOUND, 0);
	return works ? 0 : -ENOMEM;
}

void op_works_destroy(void)
{
	destroy_workqueue(works);
}
