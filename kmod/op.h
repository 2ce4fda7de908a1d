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
#include <linux/refcount.h>
#include <linux/task_work.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "submitter.h"

struct taio_policy;
struct taio_proxy;
struct taio_user;

/* An entry on a wait queue of the file. */
struct op_wait {
	struct wait_queue_entry entry;
	struct wait_queue_head *head;
	struct taio_op *op;
};

#define OP_WAITS 2	/* a FIFO that is open for reading and writing has two queues */

struct taio_op {
	atomic_t state;			/* enum op_state */
	refcount_t refs;		/* the completion, and pending task work */
	struct kiocb *iocb;
	struct taio_proxy *proxy;
	const struct taio_policy *policy;	/* changes only in ARMING, before the first WAITING */
	struct list_head link;		/* proxy->ops; proxy->lock */

	struct iov_iter iter;		/* as submitted; transfers work on copies */
	const void *iov;		/* the segments of @iter, ours to free; or NULL */
	int rw;				/* READ or WRITE */
	pid_t pid;			/* submitter, for the list in debugfs */
	unsigned long since;		/* jiffies */
	struct op_cargo cargo;		/* state of the submitter */

	/* block: pool.idle.lock */
	struct list_head queue;		/* in a queue for helpers, or empty */
	bool admitted;			/* counted as busy */
	struct taio_user *user;		/* a reference; NULL unless has_helpers */
	struct task_struct *helper;	/* set before RUNNING, valid until DONE */

	/* park, task */
	struct op_wait waits[OP_WAITS];
	unsigned int nwaits;
	unsigned int nspurious;		/* spurious wake-ups in a row */
	bool unhookable;		/* the file has more than OP_WAITS wait queues */
	bool has_work;			/* @work was initialised */
	struct delayed_work work;	/* runs it, or completes it as cancelled */

	/* task */
	struct task_struct *task;	/* submitter; a reference */
	struct callback_head callback;
	struct file *handed;		/* the proxy's file, held while the callback is pending */
};

int op_cache_create(void);
void op_cache_destroy(void);

/*
 * In the submitter: an operation in state ARMING with one reference, or NULL without memory. It is not on the proxy's
 * list yet.
 */
struct taio_op *op_create(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw);
void op_put(struct taio_op *op);

#endif
