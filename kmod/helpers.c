// SPDX-License-Identifier: GPL-2.0
/*
 * The pool of helpers: kthreads that block in the transfer for an operation; a signal cancels it.
 *
 * An idle helper sleeps on pool.idle with a wait queue entry inside a container on its own stack. The wake-up is the
 * hand-over: the submitter wakes one helper with the operation as the wake-up's key, and the wake function puts it
 * into the container, under the lock of the wait queue. That lock, pool.idle.lock, is the pool's only one.
 *
 * An operation is admitted while its user and the pool are below their caps. An admitted one has a helper or waits in
 * pool.queue for the next one, and there are always as many helpers as admitted operations, or a work item creating
 * them. An operation that is not admitted is tried by a work item when its file wakes, if that can be done without
 * waiting, and otherwise waits in its user's queue, which never holds one that could be admitted: whoever makes room
 * admits. Each direction fills at most three quarters of a cap, so a pool full of blocked reads never holds up the
 * writes that would unblock them, nor the other way round.
 *
 * Cancel: cmpxchg RUNNING to CANCELLING, then SIGKILL to the helper: it is the only signal to a kthread that breaks
 * killable waits as well as interruptible ones. allow_kernel_signal() keeps users, root included, from sending it. A
 * helper that finds its operation cancelled waits for the signal and flushes it before it goes on: none is left for
 * the next operation. The protocol is in docs/cancel.md, its model in tests/model.
 *
 * A process that is killed cancels its operations once all of its tasks have left its address space. One of them may
 * wait, uninterruptibly, for the lock of a pipe, a socket or a file, which a helper holds while it sleeps on a page of
 * that process. So a helper is ended when its submitter's process is, as a thread of that would be.
 */
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/workqueue.h>

#include "counters.h"
#include "helpers.h"
#include "op.h"
#include "op_life.h"
#include "op_state.h"
#include "proxy.h"
#include "queue.h"
#include "trace.h"
#include "user.h"

static unsigned int helpers_max = 1024;
static unsigned int user_max = 256;

unsigned int helpers_idle_ms = 5000;
module_param_named(idle_ms, helpers_idle_ms, uint, 0644);
MODULE_PARM_DESC(idle_ms, "Milliseconds after which an idle helper thread ends");

/* How long to wait after the kernel has refused to create a thread. */
#define GROW_RETRY (HZ / 10)

/* How often busy helpers are looked at, and how many at once before interrupts and others get their turn. */
#define LOOK_TIME     HZ
#define LOOKS_AT_ONCE 64

static void grow(struct work_struct *work);
static void look(struct work_struct *work);

static struct {
	wait_queue_head_t idle;		/* containers of idle helpers; its lock guards all below */
	unsigned int nidle;
	unsigned int nhelpers;
	unsigned int serial;
	unsigned int unreaped;		/* helpers started whose end nobody has waited for */
	bool stopping;
	unsigned int busy[2];		/* admitted, by READ and WRITE */
	struct list_head queue;		/* admitted, no helper yet */
	struct list_head users;		/* users with a queue of their own */
	struct list_head helpers;	/* containers of all helpers */
	struct delayed_work grow;
	struct delayed_work look;	/* pending, or about to be, while there are admitted operations */
	struct completion ended;	/* counts the helpers that are gone */
} pool = {
	/* Parameters of the module are set before its init. */
	.idle = __WAIT_QUEUE_HEAD_INITIALIZER(pool.idle),
	.queue = LIST_HEAD_INIT(pool.queue),
	.users = LIST_HEAD_INIT(pool.users),
	.helpers = LIST_HEAD_INIT(pool.helpers),
	.grow = __DELAYED_WORK_INITIALIZER(pool.grow, grow, 0),
	.look = __DELAYED_WORK_INITIALIZER(pool.look, look, 0),
	.ended = COMPLETION_INITIALIZER(pool.ended),
};

/* A helper's, on its own stack. */
struct container {
	struct wait_queue_entry entry;	/* what it leaves on the wait queue while it is idle */
	struct taio_op *op;		/* put there by the wake function, until it is released */
	struct list_head all;
};

/* --- admission; all under pool.idle.lock --- */

static bool below_cap(const unsigned int busy[2], int rw, unsigned int cap)
{
	cap = max(cap, 2u);
	if (busy[rw] >= cap - max(cap / 4, 1u))
		return false;
	return busy[READ] + busy[WRITE] < cap;
}

static bool may_admit(const struct taio_user *user, int rw)
{
	return below_cap(user->busy, rw, READ_ONCE(user_max)) && below_cap(pool.busy, rw, READ_ONCE(helpers_max));
}

static void admit(struct taio_op *op)
{
	op->user->busy[op->rw]++;
	pool.busy[op->rw]++;
	if (!delayed_work_pending(&pool.look))
		queue_delayed_work(system_unbound_wq, &pool.look, LOOK_TIME);
}

static int helper_wake(struct wait_queue_entry *entry, unsigned int mode, int sync, void *key)
{
	struct container *container = container_of(entry, struct container, entry);
	struct taio_op *op = key;

	list_del_init(&entry->entry);
	pool.nidle--;
	if (op) {
		container->op = op;
		op->helper = entry->private;
		cargo_prepare(&op->cargo, op->helper);
	}
	default_wake_function(entry, mode, sync, NULL);
	/* Not its result, which is 0 if the helper's idle time was just up: the next helper would get @op as well. */
	return 1;
}

/* Gives an admitted operation, WAITING, to the helper that went idle last, or puts it into the queue. */
static void hand_over(struct taio_op *op)
{
	if (pool.nidle) {
		count(handed);
		__wake_up_locked_key(&pool.idle, TASK_NORMAL, op);
		return;
	}
	count(queued);
	list_add_tail(&op->queue, &pool.queue);
	if (pool.nhelpers < pool.busy[READ] + pool.busy[WRITE])
		mod_delayed_work(system_unbound_wq, &pool.grow, 0);
}

static void user_enqueue(struct taio_op *op)
{
	struct taio_user *user = op->user;

	count(queued);
	list_add_tail(&op->queue, &user->queue[op->rw]);
	if (list_empty(&user->ready))
		list_add_tail(&user->ready, &pool.users);
}

/* Takes an operation out of whichever queue it is in. */
static void dequeue(struct taio_op *op)
{
	struct taio_user *user = op->user;

	list_del_init(&op->queue);
	if (list_empty(&user->queue[READ]) && list_empty(&user->queue[WRITE]))
		list_del_init(&user->ready);
}

static bool admit_from(struct taio_user *user, int rw)
{
	struct taio_op *op = list_first_entry_or_null(&user->queue[rw], struct taio_op, queue);

	if (!op || !may_admit(user, rw))
		return false;
	dequeue(op);
	op->admitted = true;
	admit(op);
	/* The next turn is another user's. */
	if (!list_empty(&user->ready))
		list_move_tail(&user->ready, &pool.users);
	hand_over(op);
	return true;
}

/* Admits one operation, a write before a read, of the first user in turn who is allowed one more. */
static bool admit_next(void)
{
	struct taio_user *user;

	list_for_each_entry(user, &pool.users, ready)
		if (admit_from(user, WRITE) || admit_from(user, READ))
			return true;
	return false;
}

/* Whoever makes room calls it. One that leaves may make room for two: in its direction, and for its user. */
static void admit_all(void)
{
	while (admit_next())
		;
}

/* An admitted operation is over, or was cancelled before a helper had it. */
static void release(struct taio_op *op)
{
	op->user->busy[op->rw]--;
	pool.busy[op->rw]--;
	admit_all();
}

/* A raised cap makes room for operations that wait. */
static int cap_set(const char *text, const struct kernel_param *param)
{
	int ret = param_set_uint(text, param);

	if (ret)
		return ret;
	spin_lock_irq(&pool.idle.lock);
	admit_all();
	spin_unlock_irq(&pool.idle.lock);
	return 0;
}

static const struct kernel_param_ops cap_ops = {
	.set = cap_set,
	.get = param_get_uint,
};

module_param_cb(helpers_max, &cap_ops, &helpers_max, 0644);
__MODULE_PARM_TYPE(helpers_max, "uint");
MODULE_PARM_DESC(helpers_max, "Maximum helper threads, for all users together");

module_param_cb(user_max, &cap_ops, &user_max, 0644);
__MODULE_PARM_TYPE(user_max, "uint");
MODULE_PARM_DESC(user_max, "Maximum helper threads, for each user");

/* --- the helper --- */

/* The signal was sent or is about to be: the canceller moved the state before we could. */
static void signal_take(void)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		/* Not signal_pending(): that is true for a notification as well, which flush_signals() leaves. */
		if (task_sigpending(current))
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	flush_signals(current);
	count(signals_flushed);
}

static void helper_run(struct container *container)
{
	struct taio_op *op = container->op;
	long res = -ECANCELED;

	if (op_move(&op->state, OP_WAITING, OP_RUNNING) && !cargo_is_abandoned(&op->cargo, op->pid))
		res = op_run_to_end(op);
	/* Paired with helpers_cancelled(): a canceller that found it RUNNING sends its signal, now or soon. */
	if (op_finish(&op->state, &res))
		signal_take();
	spin_lock_irq(&pool.idle.lock);
	container->op = NULL;
	release(op);
	spin_unlock_irq(&pool.idle.lock);
	if (op->proxy->is_file)
		op_complete(op, res);
	else
		queue_helped(&op->proxy->queues[op->rw], op, res);
}

/* Sleeps until there is an admitted operation for us. False: time to end; the helper is no longer counted. */
static bool helper_next(struct container *container)
{
	long timeout = msecs_to_jiffies(READ_ONCE(helpers_idle_ms));
	struct taio_op *op;

	spin_lock_irq(&pool.idle.lock);
	op = list_first_entry_or_null(&pool.queue, struct taio_op, queue);
	if (op) {
		dequeue(op);
		op->helper = current;
		container->op = op;
		goto unlock; /* its nice value follows with the rest of the cargo */
	}
	/* Last in, first out: the helper with the warm stack works, and the others reach their idle time. */
	__add_wait_queue_exclusive(&pool.idle, &container->entry);
	pool.nidle++;
	while (!list_empty(&container->entry.entry) && timeout && !pool.stopping) {
		/* Not interruptible: only the wake function ends this sleep, and no signal is pending. */
		set_current_state(TASK_IDLE);
		spin_unlock_irq(&pool.idle.lock);
		timeout = schedule_timeout(timeout);
		spin_lock_irq(&pool.idle.lock);
	}
	if (!list_empty(&container->entry.entry)) {
		list_del(&container->entry.entry);
		pool.nidle--;
	}
	op = container->op;
unlock:
	if (!op) {
		list_del(&container->all);
		pool.nhelpers--;
	}
	spin_unlock_irq(&pool.idle.lock);
	return op;
}

static int helper_main(void *unused)
{
	struct container container = {
		.entry = {
			.private = current,
			.func = helper_wake,
			.entry = LIST_HEAD_INIT(container.entry.entry),
		},
	};

	allow_kernel_signal(SIGKILL);
	spin_lock_irq(&pool.idle.lock);
	list_add(&container.all, &pool.helpers);
	spin_unlock_irq(&pool.idle.lock);
	while (helper_next(&container))
		helper_run(&container);
	count(helpers_ended);
	/* Ends in the kernel's text: the module may be gone as soon as the completion is signalled. */
	kthread_complete_and_exit(&pool.ended, 0);
}

/*
 * Under pool.idle.lock, which keeps the operation from being released. As helpers_cancelled(), but without the lock of
 * the proxy: what is RUNNING is not in a queue for helpers.
 */
static void end_with_process(struct taio_op *op)
{
	if (!cargo_is_abandoned(&op->cargo, op->pid) || !op_move(&op->state, OP_RUNNING, OP_CANCELLING))
		return;
	trace_taio_cancel(op, OP_RUNNING);
	count(signals_sent);
	send_sig(SIGKILL, op->helper, 1);
}

/* Work: ends the helpers whose submitter's process ends. What is looked at goes last in the list. */
static void look(struct work_struct *work)
{
	unsigned int left = READ_ONCE(pool.nhelpers), i;
	struct container *container;

	while (left) {
		spin_lock_irq(&pool.idle.lock);
		for (i = 0; i < LOOKS_AT_ONCE && left && !list_empty(&pool.helpers); i++, left--) {
			container = list_first_entry(&pool.helpers, struct container, all);
			list_move_tail(&container->all, &pool.helpers);
			if (container->op)
				end_with_process(container->op);
		}
		if (list_empty(&pool.helpers))
			left = 0;
		spin_unlock_irq(&pool.idle.lock);
		cond_resched();
	}
	spin_lock_irq(&pool.idle.lock);
	if (pool.busy[READ] || pool.busy[WRITE])
		queue_delayed_work(system_unbound_wq, &pool.look, LOOK_TIME);
	spin_unlock_irq(&pool.idle.lock);
}

/* Also reaps helpers that have ended, which keeps the completion's count small however long the module lives. */
static bool wants_helper(unsigned int *serial)
{
	bool wants;

	spin_lock_irq(&pool.idle.lock);
	while (pool.unreaped && try_wait_for_completion(&pool.ended))
		pool.unreaped--;
	wants = !pool.stopping && !list_empty(&pool.queue) &&
		pool.nhelpers < pool.busy[READ] + pool.busy[WRITE];
	if (wants) {
		pool.nhelpers++;
		pool.unreaped++;
		*serial = pool.serial++;
	}
	spin_unlock_irq(&pool.idle.lock);
	return wants;
}

/*
 * Work: creates helpers until there are enough. If the kernel refuses one, operations keep waiting, and it retries.
 */
static void grow(struct work_struct *work)
{
	struct task_struct *task;
	unsigned int serial;

	while (wants_helper(&serial)) {
		task = kthread_run(helper_main, NULL, "taio/%u", serial);
		if (!IS_ERR(task)) {
			count(helpers_started);
			continue;
		}
		count(helpers_refused);
		spin_lock_irq(&pool.idle.lock);
		pool.nhelpers--;
		pool.unreaped--;
		spin_unlock_irq(&pool.idle.lock);
		queue_delayed_work(system_unbound_wq, &pool.grow, GROW_RETRY);
		return;
	}
}

/* --- for policies --- */

/* Under pool.idle.lock; WAITING. */
static void wait_for_helper(struct taio_op *op, bool may)
{
	op->admitted = may;
	if (may) {
		admit(op);
		hand_over(op);
	} else {
		user_enqueue(op);
	}
}

void helpers_start(struct taio_op *op)
{
	bool moved;

	spin_lock_irq(&pool.idle.lock);
	moved = op_move(&op->state, OP_ARMING, OP_WAITING);
	if (moved) {
		trace_taio_queue(op);
		wait_for_helper(op, may_admit(op->user, op->rw));
	}
	spin_unlock_irq(&pool.idle.lock);
	if (!moved)
		op_give_up(op);
}

void helpers_again(struct taio_op *op)
{
	spin_lock(&pool.idle.lock);
	wait_for_helper(op, may_admit(op->user, op->rw));
	spin_unlock(&pool.idle.lock);
}

void helpers_caps(unsigned int *user, unsigned int *all)
{
	*user = READ_ONCE(user_max);
	*all = READ_ONCE(helpers_max);
}

void helpers_run(struct taio_queue *queue, struct taio_op *op)
{
	bool may, has_helper;

	spin_lock(&pool.idle.lock);
	may = may_admit(op->user, op->rw);
	has_helper = may || op->needs_helper || !queue->proxy->nowait;
	if (has_helper) {
		queue->trying = op;
		wait_for_helper(op, may);
	}
	spin_unlock(&pool.idle.lock);
	if (has_helper)
		return;
	count(overflowed);
	if (queue->ready)
		queue_give_to_work(queue);
	else
		queue_wait(queue);
}

/* Takes it out of a queue for helpers. False: it is in none; a helper that has it already finds it cancelled. */
static bool take_back(struct taio_op *op)
{
	bool was_queued;

	spin_lock(&pool.idle.lock);
	was_queued = !list_empty(&op->queue);
	if (was_queued) {
		dequeue(op);
		if (op->admitted)
			release(op);
	}
	spin_unlock(&pool.idle.lock);
	return was_queued;
}

static void cancelled_waiting(struct taio_op *op)
{
	struct taio_queue *queue = &op->proxy->queues[op->rw];

	if (op->proxy->is_file) {
		if (take_back(op))
			op_give_up(op);
	} else if (queue->trying != op) {
		queue_drop(queue, op);
	} else if (take_back(op)) {
		queue_drop_tried(queue, op);
	}
}

void helpers_cancelled(struct taio_op *op, enum op_state was)
{
	if (was == OP_WAITING) {
		cancelled_waiting(op);
		return;
	}
	if (!op->helper) /* a work item tries it, and does not block */
		return;
	/* Paired with helper_run(): the helper does not go on before it has received this. */
	count(signals_sent);
	send_sig(SIGKILL, op->helper, 1);
}

/* No proxy is left and so no operation: the helpers are idle. */
void helpers_destroy(void)
{
	spin_lock_irq(&pool.idle.lock);
	WARN_ON_ONCE(pool.busy[READ] || pool.busy[WRITE]);
	pool.stopping = true;
	while (pool.nidle)
		__wake_up_locked_key(&pool.idle, TASK_NORMAL, NULL);
	spin_unlock_irq(&pool.idle.lock);
	cancel_delayed_work_sync(&pool.grow);
	cancel_delayed_work_sync(&pool.look);
	for (; pool.unreaped; pool.unreaped--)
		wait_for_completion(&pool.ended);
}
