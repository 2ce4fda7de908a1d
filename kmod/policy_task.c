// SPDX-License-Identifier: GPL-2.0
/*
 * Policy task: an operation waits as with park; the wake function gives it to the submitter's own task work, which
 * transfers in the submitter's context: no helper, no address space to change to.
 *
 * HANDED is the state from the wake-up to the start of the callback. A cancel takes the operation out of it, because
 * the submitter may be waiting for this very operation in exit_aio() or io_destroy(2), and would not run the callback
 * before it is done. A work item then completes it, and the late callback only drops its reference. So an operation
 * with a pending callback has two references and holds the proxy's file: the callback is this module's code, and the
 * final fput() in it is itself deferred to later task work, after it.
 *
 * If the submitter is gone (-ESRCH), is exiting, or has a different address space by now, the workqueue takes over.
 */
#include <linux/file.h>
#include <linux/sched/task.h>
#include <linux/task_work.h>

#include "counters.h"
#include "op.h"
#include "op_state.h"
#include "policy_park.h"
#include "policy_task.h"
#include "proxy.h"

static void fall_back(struct taio_op *op)
{
	count(task_fallbacks);
	park_give_to_work(op);
}

static bool can_run_here(const struct taio_op *op)
{
	return current->mm == op->cargo.mm && !(current->flags & PF_EXITING);
}

static void task_callback(struct callback_head *callback)
{
	struct taio_op *op = container_of(callback, struct taio_op, callback);
	struct file *handed = op->handed;

	if (op_move(&op->state, OP_HANDED, OP_RUNNING)) {
		if (can_run_here(op)) {
			count(task_runs);
			park_run(op);
		} else {
			fall_back(op);
		}
	}
	op_put(op);
	fput(handed);
}

/* Wake function; HANDED. Whoever completes it calls unhook(), which waits for us: neither put below is the last. */
static void task_woken(struct taio_op *op)
{
	bool coop = op->proxy->flags & TAIO_ATTACH_COOP;
	struct file *file = op->iocb->ki_filp;

	op->handed = get_file(file);
	refcount_inc(&op->refs);
	init_task_work(&op->callback, task_callback);
	if (!task_work_add(op->task, &op->callback, coop ? TWA_SIGNAL_NO_IPI : TWA_SIGNAL))
		return;
	if (op_move(&op->state, OP_HANDED, OP_RUNNING))
		fall_back(op);
	refcount_dec(&op->refs);
	fput(file);
}

/* A pending callback still refers to the operation; its work is not queued, because it was WAITING before. */
static void task_cancelled(struct taio_op *op, enum op_state was)
{
	if (was == OP_WAITING || was == OP_HANDED)
		park_give_to_work(op);
}

static void task_start(struct taio_op *op)
{
	op->task = get_task_struct(current);
	park_start(op);
}

const struct taio_policy taio_policy_task = {
	.name = "task",
	.own_state = TAIO_STATE_MM,
	.start = task_start,
	.cancelled = task_cancelled,
	.woken = task_woken,
	.ready = park_run,
	.woken_state = OP_HANDED,
};
