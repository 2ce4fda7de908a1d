// SPDX-License-Identifier: GPL-2.0
/* The memory of operations: made in the submitter, freed wherever the last reference is dropped. */
#include <linux/cred.h>
#include <linux/jiffies.h>
#include <linux/pid.h>
#include <linux/slab.h>

#include "op.h"
#include "op_state.h"
#include "policy.h"
#include "proxy.h"
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

/* On kernels that keep no iovec for a single plain buffer, dup_iter() returns NULL for one and has succeeded. */
static int iter_copy(struct taio_op *op, struct iov_iter *iter)
{
	op->iov = dup_iter(&op->iter, iter, GFP_KERNEL_ACCOUNT);
	return !op->iov && iter_is_iovec(&op->iter) ? -ENOMEM : 0;
}

static struct taio_user *account(const struct taio_proxy *proxy, kuid_t uid)
{
	if (uid_eq(proxy->user->uid, uid))
		return user_hold(proxy->user);
	return user_get(uid);
}

bool op_account(struct taio_op *op)
{
	if (!op->user)
		op->user = account(op->proxy, op->uid);
	return op->user;
}

/* Sets only what is read before a policy writes it: clearing all of it would cost more than everything else here. */
struct taio_op *op_create(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	struct taio_op *op = kmem_cache_alloc(op_cache, GFP_KERNEL);
	u32 own;

	if (!op)
		return NULL;
	if (iter_copy(op, iter))
		goto free_op;
	op->user = NULL;
	op->uid = user_of_current();
	op->proxy = proxy;
	if (proxy->policy->has_helpers && !op_account(op))
		goto free_iov;
	atomic_set(&op->state, OP_ARMING);
	op->iocb = iocb;
	op->rw = rw;
	op->done = 0;
	op->needs_helper = false;
	op->nlocked = 0;
	op->pid = task_pid_nr(current);
	op->since = jiffies;
	INIT_LIST_HEAD(&op->queue);
	op->helper = NULL;
	op->submitter = proxy->policy->has_submitter ? get_pid(task_pid(current)) : NULL;
	own = proxy->policy->own_state;
	if (proxy->policy->reserve)
		own |= proxy->policy->reserve(op);
	cargo_take(&op->cargo, proxy->state & ~own, iocb->ki_ioprio);
	return op;
free_iov:
	kfree(op->iov);
free_op:
	kmem_cache_free(op_cache, op);
	return NULL;
}

void op_free(struct taio_op *op)
{
	cargo_put(&op->cargo);
	if (op->user)
		user_put(op->user);
	put_pid(op->submitter);
	kfree(op->iov);
	kmem_cache_free(op_cache, op);
}
