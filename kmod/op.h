/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An operation: one kiocb of fs/aio on a proxy, from the submit that could not finish it to its one completion.
 *
 * Ownership: the state word says who owns an operation (op_state.h). Only its owner touches it, except where a member
 * says otherwise. fs/aio's kiocb belongs to the owner until op_complete(), and to nobody here afterwards.
 */
#ifndef TAIO_OP_H
#define TAIO_OP_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/uidgid.h>
#include <linux/uio.h>

#include "submitter.h"

struct pid;
struct task_struct;
struct taio_proxy;
struct taio_user;
struct taio_worker;
struct taio_workers;

struct taio_op {
	atomic_t state;			/* enum op_state */
	struct kiocb *iocb;
	struct taio_proxy *proxy;
	struct list_head link;		/* proxy->ops; proxy->lock */

	struct iov_iter iter;		/* what is left to transfer */
	const void *iov;		/* the segments of @iter, ours to free; or NULL */
	int rw;				/* READ or WRITE */
	size_t done;			/* bytes transferred so far */
	pid_t pid;			/* submitter, for the list in debugfs, and for its helper */
	kuid_t uid;			/* whose account counts for it (user.h) */
	unsigned long since;		/* jiffies */
	struct op_cargo cargo;		/* state of the submitter */

	/* block: pool.idle.lock */
	struct list_head queue;		/* in a queue for helpers, or empty */
	bool admitted;			/* counted as busy */
	struct taio_user *user;		/* a reference; NULL unless has_helpers or needs_helper */
	struct task_struct *helper;	/* set before RUNNING, valid until DONE */

	/* policy worker: the lock of workers.c */
	struct taio_workers *workers;	/* of its submitter; a reference, or NULL */
	struct taio_worker *worker;	/* reserved for it, or has it; or NULL */

	/* in one of the proxy's queues; proxy->lock */
	struct list_head wait;
	bool needs_helper;		/* a try met what only a helper can wait for (queue.c) */
	u8 nlocked;			/* tries in a row that met a lock; its runner's */

	struct llist_node given_up;	/* until a work item completes it as cancelled */
	struct pid *submitter;		/* policy task: a reference, or NULL; pins nothing of a thread that has ended */
};

int op_cache_create(void);
void op_cache_destroy(void);

/*
 * In the submitter: an operation in state ARMING, or NULL without memory. It is not on the proxy's list yet.
 */
struct taio_op *op_create(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw);
/* Its owner, a runner: from now on it may have a helper. False without memory. */
bool op_account(struct taio_op *op);
/* It has completed. */
void op_free(struct taio_op *op);

#endif
