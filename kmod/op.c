// SPDX-License-Identifier: GPL-2.0
/*
 * The life of an operation but for its waiting: made of a kiocb, started by its policy, transferred by a runner,
 * completed exactly once.
 *
 * Order in op_submit(), as fs/aio demands: everything that can fail; iocb->private; the proxy's list;
 * kiocb_set_cancel_fn(); start. From kiocb_set_cancel_fn() on a cancel may come, and an error is completed, never
 * returned. Order in op_complete(): off the proxy's list, ki_complete(), then free: after ki_complete() no cancel of
 * fs/aio runs or can run for the operation, and off the list TAIO_IOC_CANCEL does not find it.
 */
#include <linux/aio.h>
#include <linux/cred.h>
#include <linux/jiffies.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "counters.h"
#include "proxy.h"
#include "op.h"
#include "op_state.h"
#include "policy.h"
#include "trace.h"
#include "transfer.h"
#include "user.h"

static struct kmem_cache *op_cache;

int op_cache_create(void)
{
	/* Not accounted, as fs/aio's own request is not: fs.aio-max-nr bounds both. */
	op_cache = KMEM_CACHE(taio_op, SLAB_HWCACHE_ALIGN);
	return op_cache ? 0 : -ENOMEM;
}

void op_cache_destroy(void)
{
	kmem_cache_destroy(op_cache);
}

/* dup_iter() returns NULL with success for one plain buffer, on kernels that keep no iovec for it. */
static int iter_copy(struct taio_op *op, struct iov_iter *iter)
{
	op->iov = dup_iter(&op->iter, iter, GFP_KERNEL_ACCOUNT);
	return !op->iov && iter_is_iovec(&op->iter) ? -ENOMEM : 0;
}

static struct taio_user *user_of_submitter(struct taio_proxy *proxy)
{
	if (uid_eq(proxy->user->uid, current_uid()))
		return user_hold(proxy->user);
	return user_get(current_uid());
}

/* Each member that is read before it is written by a policy: clearing the whole would cost more than the rest. */
static struct taio_op *op_create(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	struct taio_op *op = kmem_cache_alloc(op_cache, GFP_KERNEL);

	if (!op)
		return NULL;
	if (iter_copy(op, iter))
		goto free_op;
	op->user = NULL;
	if (proxy->policy->has_helpers) {
		op->user = user_of_submitter(proxy);
		if (!op->user)
			goto free_iov;
	}
	refcount_set(&op->refs, 1);
	atomic_set(&op->state, OP_ARMING);
	op->iocb = iocb;
	op->proxy = proxy;
	op->policy = proxy->policy;
	op->rw = rw;
	op->pid = task_pid_nr(current);
	op->since = jiffies;
	INIT_LIST_HEAD(&op->queue);
	op->nwaits = 0;
	op->nspurious = 0;
	op->unhookable = false;
	op->has_work = false;
	op->task = NULL;
	cargo_take(&op->cargo, proxy->state & ~proxy->policy->own_state, iocb->ki_ioprio);
	return op;
free_iov:
	kfree(op->iov);
free_op:
	kmem_cache_free(op_cache, op);
	return NULL;
}

void op_put(struct taio_op *op)
{
	if (!refcount_dec_and_test(&op->refs))
		return;
	cargo_put(&op->cargo);
	if (op->user)
		user_put(op->user);
	if (op->task)
		put_task_struct(op->task);
	kfree(op->iov);
	kmem_cache_free(op_cache, op);
}

bool op_cancel(struct taio_op *op)
{
	enum op_state was;

	if (!op_mark_cancelled(&op->state, &was))
		return false;
	trace_taio_cancel(op, was);
	/* In ARMING and WOKEN its armer finds it cancelled, and completes it. */
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
