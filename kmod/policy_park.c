// SPDX-License-Identifier: GPL-2.0
/*
 * Policy park: an operation waits as an entry on the file's own wait queue. The wake function takes it off and queues
 * a work item, which transfers without waiting, with the submitter's address space and credentials, and parks again
 * if there was nothing to transfer. A cancel hands the operation to the work item, which unhooks it: no signals.
 *
 * The wake function runs under the lock of the file's wait queue, with interrupts off. The runner that it gives the
 * operation to may start at once, but unhook() takes the same lock first, so no wake function touches a completed
 * operation. The wait queue is there as long as its file: none of the files that a proxy may stand for sends POLLFREE.
 */
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/workqueue.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "counters.h"
#include "op.h"
#include "op_life.h"
#include "op_state.h"
#include "policy_park.h"
#include "proxy.h"
#include "trace.h"

/* After this many spurious wake-ups in a row an operation waits for a tick before it is tried again. */
#define SPURIOUS_MAX 3

static struct workqueue_struct *park_queue;

static __poll_t events_of(const struct taio_op *op)
{
	if (op->rw == READ)
		return EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLERR | EPOLLHUP;
	return EPOLLOUT | EPOLLWRNORM | EPOLLERR | EPOLLHUP;
}

/* --- the wait queue --- */

static int park_wake(struct wait_queue_entry *entry, unsigned int mode, int sync, void *key)
{
	struct op_wait *wait = container_of(entry, struct op_wait, entry);
	struct taio_op *op = wait->op;
	__poll_t mask = key_to_poll(key);

	if (mask && !(mask & events_of(op)))
		return 0;
	list_del_init(&entry->entry);
	if (op_wake(&op->state, op->policy->woken_state)) {
		count(woken);
		op->policy->woken(op);
	}
	return 1;
}

struct arm_table {
	struct poll_table_struct table;
	struct taio_op *op;
};

static void hook(struct file *file, struct wait_queue_head *head, struct poll_table_struct *table)
{
	struct taio_op *op = container_of(table, struct arm_table, table)->op;
	struct op_wait *wait;

	if (op->nwaits == OP_WAITS) {
		op->unhookable = true;
		return;
	}
	wait = &op->waits[op->nwaits++];
	init_waitqueue_func_entry(&wait->entry, park_wake);
	wait->op = op;
	wait->head = head;
	add_wait_queue(head, &wait->entry);
}

static void unhook(struct taio_op *op)
{
	unsigned int i;

	for (i = 0; i < op->nwaits; i++)
		remove_wait_queue(op->waits[i].head, &op->waits[i].entry);
	op->nwaits = 0;
}

enum arm_result {
	ARM_PARKED,	/* on the wait queue, and no longer the caller's */
	ARM_READY,	/* RUNNING, the caller's, not hooked */
	ARM_CANCELLED,	/* CANCELLED, the caller's, not hooked */
};

/* A listening socket never polls as ready, but a transfer fails at once instead of waiting. */
static bool is_listening(const struct taio_op *op)
{
	struct socket *sock = sock_from_file(op->proxy->target);

	return sock && sock->sk && READ_ONCE(sock->sk->sk_state) == TCP_LISTEN;
}

/* Owner, ARMING. */
static enum arm_result arm(struct taio_op *op)
{
	struct arm_table at = { .op = op };
	__poll_t mask;

	init_poll_funcptr(&at.table, hook);
	at.table._key = events_of(op);
	mask = vfs_poll(op->proxy->target, &at.table) & events_of(op);
	if (!mask && !op->unhookable && !is_listening(op)) {
		count(parked);
		trace_taio_queue(op);
		if (op_move(&op->state, OP_ARMING, OP_WAITING))
			return ARM_PARKED;
	}
	unhook(op);
	return op_ready(&op->state) ? ARM_READY : ARM_CANCELLED;
}

/* --- the runner --- */

static void park_work(struct work_struct *work)
{
	park_run(container_of(to_delayed_work(work), struct taio_op, work));
}

/* Initialises the work only here: most operations never need it. */
static void give_to_work(struct taio_op *op, unsigned long delay)
{
	if (!op->has_work) {
		INIT_DELAYED_WORK(&op->work, park_work);
		op->has_work = true;
	}
	/* False would mean two owners. */
	WARN_ON_ONCE(!queue_delayed_work(park_queue, &op->work, delay));
}

void park_give_to_work(struct taio_op *op)
{
	give_to_work(op, 0);
}

static void finish(struct taio_op *op, long res)
{
	op_finish(&op->state, &res);
	op_complete(op, res);
}

/* There was nothing to transfer. False: it is no longer ours. */
static bool park_again(struct taio_op *op)
{
	count(spurious_wakeups);
	if (!op_move(&op->state, OP_RUNNING, OP_ARMING))
		return true; /* cancelled: the caller sees it */
	if (arm(op) == ARM_PARKED)
		return false;
	if (++op->nspurious < SPURIOUS_MAX || op_is_cancelled(&op->state))
		return true;
	/* Its file polls as ready but gives nothing, perhaps for lack of memory. */
	op->nspurious = 0;
	give_to_work(op, 1);
	return false;
}

void park_run(struct taio_op *op)
{
	long res;

	unhook(op);
	do {
		if (op_is_cancelled(&op->state)) {
			finish(op, -ECANCELED);
			return;
		}
		res = op_run(op, true);
		if (res != -EAGAIN) {
			finish(op, res);
			return;
		}
	} while (park_again(op));
}

/* --- the policy --- */

void park_start(struct taio_op *op)
{
	switch (arm(op)) {
	case ARM_PARKED:
		break;
	case ARM_READY:
		op->policy->ready(op);
		break;
	case ARM_CANCELLED:
		finish(op, -ECANCELED);
		break;
	}
}

static void park_cancelled(struct taio_op *op, enum op_state was)
{
	if (was == OP_WAITING)
		park_give_to_work(op);
}

const struct taio_policy taio_policy_park = {
	.name = "park",
	.start = park_start,
	.cancelled = park_cancelled,
	.woken = park_give_to_work,
	.ready = park_give_to_work,
	.woken_state = OP_RUNNING,
};

int park_queue_create(void)
{
	park_queue = alloc_workqueue("taio", WQ_UNBOUND, 0);
	return park_queue ? 0 : -ENOMEM;
}

/* No proxy is left and so no operation, but a work item that completed one may still be returning. */
void park_queue_destroy(void)
{
	destroy_workqueue(park_queue);
}
