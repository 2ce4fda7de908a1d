// SPDX-License-Identifier: GPL-2.0
/*
 * Policy task: the submitter transfers, in its own task work: no helper, no address space to change to.
 *
 * A queue asks the submitter of its first. While the callback is pending nothing is tried, but all that waits can be
 * cancelled: a task that waits in exit_aio() or io_destroy(2) for its operations runs its task work only when they are
 * done. The callback then tries what is first by that time, or has another submitter's task work do so. It holds the
 * proxy's file: it is this module's code, and the final fput() in it is itself deferred to later task work, after it.
 *
 * If the submitter is gone, is exiting, or has a different address space by now, a work item takes over.
 */
#include <linux/file.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/task_work.h>

#include "counters.h"
#include "helpers.h"
#include "op.h"
#include "policy_task.h"
#include "proxy.h"
#include "queue.h"

static void fall_back(struct taio_queue *queue)
{
	count(task_fallbacks);
	queue_give_to_work(queue);
}

static void task_callback(struct callback_head *callback)
{
	struct taio_queue *queue = container_of(callback, struct taio_queue, callback);
	struct file *handed = queue->handed;

	if (current->flags & PF_EXITING) {
		fall_back(queue);
	} else {
		count(task_runs);
		queue_run(queue);
	}
	fput(handed);
}

static bool task_runs_here(const struct taio_op *op)
{
	return current->flags & PF_KTHREAD || current->mm == op->cargo.mm;
}

/* False: it is gone, or exits, or is current with another address space, where task work would never get to the end. */
static bool ask_submitter(struct taio_queue *queue, struct taio_op *op)
{
	bool coop = queue->proxy->flags & TAIO_ATTACH_COOP;
	struct task_struct *task;
	bool asked = false;

	rcu_read_lock();
	task = pid_task(op->submitter, PIDTYPE_PID);
	if (task && (task != current || current->mm == op->cargo.mm))
		asked = !task_work_add(task, &queue->callback, coop ? TWA_SIGNAL_NO_IPI : TWA_SIGNAL);
	rcu_read_unlock();
	return asked;
}

static void task_run(struct taio_queue *queue, struct taio_op *op)
{
	queue->handed = get_file(op->iocb->ki_filp);
	init_task_work(&queue->callback, task_callback);
	if (ask_submitter(queue, op))
		return;
	fput(queue->handed); /* not the last: the iocb has one */
	fall_back(queue);
}

const struct taio_policy taio_policy_task = {
	.name = "task",
	.own_state = TAIO_STATE_MM,
	.has_submitter = true,
	.run = task_run,
	.runs_here = task_runs_here,
	.help = helpers_run,
	.cancelled = helpers_cancelled,
};
