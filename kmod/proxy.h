/* SPDX-License-Identifier: GPL-2.0 */
/* A proxy: the file behind a descriptor that TAIO_IOC_ATTACH gives, standing for its target. */
#ifndef TAIO_FILE_H
#define TAIO_FILE_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/spinlock.h>

#include "uapi/taio.h"

struct taio_policy;
struct taio_user;

struct taio_proxy {
	struct file *target;			/* a reference, until the proxy is released */
	struct file *nowait;			/* where a transfer does not wait; a reference, or NULL: nowhere */
	const struct taio_policy *policy;	/* in force */
	enum taio_policy_id policy_id;		/* its name for user space */
	u32 flags;				/* TAIO_ATTACH_ */
	u32 state;				/* TAIO_STATE_ */
	bool is_file;				/* regular file or block device: waits for the disk, never polled */
	bool is_socket;
	struct taio_user *user;			/* who attached; a reference */

	spinlock_t lock;	/* irqs off; outside it: fs/aio's ctx_lock; inside it: pool.idle.lock, siglock */
	struct list_head ops;	/* in flight, oldest first */
	unsigned int nops;
	struct list_head all;	/* in the list of all proxies; its mutex */
};

/*
 * Makes the proxy's file. The request was checked but for what depends on the target: -EINVAL, -EISDIR, -ELOOP,
 * -EOPNOTSUPP, -EPERM, -ENOMEM, -ENFILE. On success the file owns the caller's reference to @target.
 */
struct file *proxy_create(struct file *target, const struct taio_ioc_attach *request);

/* Calls @each for every proxy, under the mutex of their list. */
void proxy_for_each(void (*each)(struct taio_proxy *proxy, void *arg), void *arg);

#endif
