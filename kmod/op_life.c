// SPDX-License-Identifier: GPL-2.0
/*
 * The life of an operation except its waiting: started by its policy, transferred by a runner, completed exactly once.
 *
 * The order in op_submit() is what fs/aio demands: everything that can fail; iocb->private; the proxy's list;
 * kiocb_set_cancel_fn(); start. From kiocb_set_cancel_fn() on a cancel may come, and an error is completed, never
 * returned. The order in op_complete(): off the proxy's list, ki_complete(), then free. Once it is off the list,
 * TAIO_IOC_CANCEL does not find it; after ki_complete() no cancel of fs/aio is running or can run for it.
 */
#include <linux/aio.h>

#include "counters.h"
#include "op.h"
#include "op_life.h"
#include "op_state.h"
#include "policy.h"
#include "proxy.h"
#include "trace.h"
#include "transfer.h"

bool op_cancel(struct taio_op *op)
{
	enum op_state was;

	if (!op_mark_cancelled(&op->state, &was))
		return false;
	trace_taio_cancel(op, was);
	/* In ARMING and WOKEN its armer finds it cancelled and completes it. */
	if (was == OP_WAITING || was == OP_HANDED || was == OP_RUNNING)
		op->policy->cancelled(op, was);
	return true;
}

/* A kiocb_cancel_fn. */
static int cancel_iocb(struct kiocb *iocb)
{
	op_cancel(iocb->private);
	return 0;
}

ssize_t op_submit(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	struct taio_op *op = op_create(proxy, iocb, iter, rw);
	unsigned long flags;

	if (!op)
		return -ENOMEM;
	count(submitted);
	trace_taio_submit(op);
	iocb->private = op;
	spin_lock_irqsave(&proxy->lock, flags);
	list_add_tail(&op->link, &proxy->ops);
	proxy->nops++;
	spin_unlock_irqrestore(&proxy->lock, flags);
	kiocb_set_cancel_fn(iocb, cancel_iocb);
	op->policy->start(op);
	/* Neither op nor iocb may be touched from here on. */
	return -EIOCBQUEUED;
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
	if (op->cargo.taken & TAIO_STATE_IOCONTEXT)
		from.ki_ioprio = op->cargo.ioprio;
	trace_taio_start(op);
	res = transfer(nowait ? op->proxy->nowait : op->proxy->target, &from, &iter, op->rw,
		       nowait ? IOCB_NOWAIT : 0);
	cargo_leave(&op->cargo, &saved);
	return res;
}

void op_complete(struct taio_op *op, long res)
{
	struct taio_proxy *proxy = op->proxy;
	struct kiocb *iocb = op->iocb;
	unsigned long flags;

	spin_lock_irqsave(&proxy->lock, flags);
	list_del(&op->link);
	proxy->nops--;
	spin_unlock_irqrestore(&proxy->lock, flags);
	if (res == -ECANCELED)
		count(cancelled);
	count(completed);
	trace_taio_complete(op, res);
	iocb->ki_complete(iocb, res);
	op_put(op);
}
