// SPDX-License-Identifier: GPL-2.0
/*
 * What a proxy keeps of its target, which state of the submitter its operations carry, and the list of all proxies.
 * Process context.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/slab.h>

#include "compat.h"
#include "proxy.h"
#include "target.h"
#include "user.h"

/* The bits of the defaults that only a caller with the capability may leave out. */
static const struct {
	u32 bit;
	int capability;
} guarded[] = {
	{ TAIO_STATE_CRED, CAP_SYS_ADMIN },
	{ TAIO_STATE_BLKCG, CAP_SYS_ADMIN },
	{ TAIO_STATE_FSIZE, CAP_SYS_RESOURCE },
	{ TAIO_STATE_MEMCG, CAP_SYS_ADMIN },
};

static int state_choose(struct taio_proxy *proxy, const struct taio_ioc_attach *request)
{
	u32 usual = proxy->is_file ? TAIO_STATE_FILE : TAIO_STATE_STREAM;
	int i;

	proxy->state = usual;
	if (!(request->flags & TAIO_ATTACH_STATE))
		return 0;
	for (i = 0; i < ARRAY_SIZE(guarded); i++)
		if (usual & ~request->state & guarded[i].bit && !capable(guarded[i].capability))
			return -EPERM;
	proxy->state = request->state;
	return 0;
}

void proxy_let_go(struct taio_proxy *proxy)
{
	if (proxy->nowait)
		fput(proxy->nowait);
	if (proxy->user)
		user_put(proxy->user);
	fput(proxy->target);
}

struct taio_proxy *proxy_create(struct file *target, const struct taio_ioc_attach *request)
{
	umode_t mode = file_inode(target)->i_mode;
	struct taio_proxy *proxy;
	int ret = target_check(target);

	if (ret)
		return ERR_PTR(ret);
	proxy = kzalloc(sizeof(*proxy), GFP_KERNEL_ACCOUNT);
	if (!proxy)
		return ERR_PTR(-ENOMEM);
	refcount_set(&proxy->refs, 1);
	proxy->is_file = S_ISREG(mode) || S_ISBLK(mode);
	proxy->sock = sock_from_file(target);
	proxy->target = get_file(target);
	proxy->flags = request->flags;
	spin_lock_init(&proxy->lock);
	INIT_LIST_HEAD(&proxy->ops);
	ret = state_choose(proxy, request);
	if (ret)
		goto free_proxy;
	ret = -ENOMEM;
	proxy->user = user_get(user_of_current());
	if (!proxy->user)
		goto free_proxy;
	proxy->nowait = compat_nowait_file(target);
	proxy->policy_id = request->policy;
	if ((proxy->is_file || !proxy->nowait) && request->policy != TAIO_POLICY_WORKER)
		proxy->policy_id = TAIO_POLICY_BLOCK;
	return proxy;
free_proxy:
	proxy_let_go(proxy);
	kfree(proxy);
	return ERR_PTR(ret);
}

void proxy_hold(struct taio_proxy *proxy)
{
	refcount_inc(&proxy->refs);
}

void proxy_put(struct taio_proxy *proxy)
{
	if (refcount_dec_and_test(&proxy->refs))
		kfree(proxy);
}

/* --- the list of all proxies --- */

static LIST_HEAD(proxies);
static DEFINE_MUTEX(proxies_mutex);

void proxy_for_each(void (*each)(struct taio_proxy *proxy, void *arg), void *arg)
{
	struct taio_proxy *proxy;

	mutex_lock(&proxies_mutex);
	list_for_each_entry(proxy, &proxies, all)
		each(proxy, arg);
	mutex_unlock(&proxies_mutex);
}

void proxy_list(struct taio_proxy *proxy)
{
	mutex_lock(&proxies_mutex);
	list_add_tail(&proxy->all, &proxies);
	mutex_unlock(&proxies_mutex);
}

void proxy_unlist(struct taio_proxy *proxy)
{
	mutex_lock(&proxies_mutex);
	list_del(&proxy->all);
	mutex_unlock(&proxies_mutex);
}
