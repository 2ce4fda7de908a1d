/* SPDX-License-Identifier: GPL-2.0 */
/* A proxy: what is behind a descriptor from TAIO_IOC_ATTACH. It stands for its target. */
#ifndef TAIO_PROXY_H
#define TAIO_PROXY_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/spinlock.h>

#include "uapi/taio.h"

struct taio_policy;
struct taio_user;

struct taio_proxy {
	struct file *target;			/* a reference, until the proxy is released */
	struct file *nowait;			/* for transfers that must not wait; a reference, or NULL */
	const struct taio_policy *policy;	/* in force */
	enum taio_policy_id policy_id;		/* its number in user space */
	u32 flags;				/* TAIO_ATTACH_ */
	u32 state;				/* TAIO_STATE_ */
	bool is_file;				/* regular file or block device: waits for the disk, never polled */
	bool is_socket;
	struct taio_user *user;			/* of whoever attached; a reference */

	spinlock_t lock;	/* irqs off; outside it: fs/aio's ctx_lock; inside it: pool.idle.lock, siglock */
	struct list_head ops;	/* in flight, oldest first */
	unsigned int nops;
	struct list_head all;	/* in the list of all proxies; its mutex */
};

/*
 * Makes a proxy of a target; the caller sets its policy. The reference to @target stays the caller's, who passes it on
 * with the proxy. -EINVAL, -EISDIR, -EOPNOTSUPP, -EPERM, -ENOMEM.
 */
struct taio_proxy *proxy_create(struct file *target, const struct taio_ioc_attach *request);

/* Keeps the reference to the target, which is the caller's again. */
void proxy_free(struct taio_proxy *proxy);

/* Puts it on the list of all proxies, or takes it off. */
void proxy_list(struct taio_proxy *proxy);
void proxy_unlist(struct taio_proxy *proxy);

/* Calls @each for every proxy, under the mutex of their list. */
void proxy_for_each(void (*each)(struct taio_proxy *proxy, void *arg), void *arg);

#endif
