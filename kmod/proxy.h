/* SPDX-License-Identifier: GPL-2.0 */
/* A proxy: what is behind a descriptor from TAIO_IOC_ATTACH. It stands for its target. */
#ifndef TAIO_PROXY_H
#define TAIO_PROXY_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "uapi/taio.h"

struct socket;
struct taio_op;
struct taio_policy;
struct taio_proxy;
struct taio_user;

/* The operations that wait in one direction of a stream; queue.c's. */
struct taio_queue {
	struct taio_proxy *proxy;
	int rw;

	/* proxy->lock */
	struct list_head ops;		/* op->wait, the oldest first */
	bool ready;			/* the file may have changed since the last try began */
	bool woken;			/* it has said so by a wake-up since, and need not be asked */
	bool busy;			/* somebody tries the first, or was asked to, and holds the proxy */
	struct taio_op *trying;		/* the first, while it is tried, or a helper is to do so */

	/* Whoever has set busy. */
	struct delayed_work work;
	struct callback_head callback;	/* policy task */
	struct file *handed;		/* policy task: the proxy's, held while the callback is pending */
};

/* An entry on a wait queue of the target, for as long as the proxy's file is open. */
struct queue_hook {
	struct wait_queue_entry entry;
	struct wait_queue_head *head;
	struct taio_proxy *proxy;
};

#define QUEUE_HOOKS 2	/* a FIFO that is open for reading and writing has two wait queues */

struct taio_proxy {
	struct file *target;			/* a reference, until the proxy is released */
	struct file *nowait;			/* for transfers that must not wait; a reference, or NULL */
	const struct taio_policy *policy;	/* in force */
	enum taio_policy_id policy_id;		/* its number in user space */
	u32 flags;				/* TAIO_ATTACH_ */
	u32 state;				/* TAIO_STATE_ */
	bool is_file;				/* regular file or block device: waits for the disk, never polled */
	struct socket *sock;			/* of the target, or NULL */
	struct taio_user *user;			/* of whoever attached; a reference */

	refcount_t refs;	/* its file's, and one of each busy queue */

	spinlock_t lock;	/* irqs off; the order of locks is in queue.c */
	struct list_head ops;	/* in flight, the oldest first; at the end what TAIO_IOC_CANCEL has asked to end */
	unsigned int nops;
	struct taio_queue queues[2];		/* of a stream: reads and writes */
	struct queue_hook hooks[QUEUE_HOOKS];	/* from attach to release */
	unsigned int nhooks;
	struct list_head all;	/* in the list of all proxies; its mutex */
};

/* Makes a proxy of a target, with a reference of its own to that. -EINVAL, -EISDIR, -EOPNOTSUPP, -EPERM, -ENOMEM. */
struct taio_proxy *proxy_create(struct file *target, const struct taio_ioc_attach *request);

/* Its file goes, or could not be made, and nothing is in flight: lets go of its target, and whoever attached. */
void proxy_let_go(struct taio_proxy *proxy);

/* Another reference; the caller knows of one. */
void proxy_hold(struct taio_proxy *proxy);
/* Without a reference left it is freed. */
void proxy_put(struct taio_proxy *proxy);

/* Puts it on the list of all proxies, or takes it off. */
void proxy_list(struct taio_proxy *proxy);
void proxy_unlist(struct taio_proxy *proxy);

/* Calls @each for every proxy, under the mutex of their list. */
void proxy_for_each(void (*each)(struct taio_proxy *proxy, void *arg), void *arg);

#endif
