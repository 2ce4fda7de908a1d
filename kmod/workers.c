// SPDX-License-Identifier: GPL-2.0
/*
 * The workers: threads that vhost_task_create() makes of a submitter. A worker belongs to the submitter's process and
 * has its memory, limits, cgroups and priority because it is a copy; only the credentials are those of each operation.
 * It is charged for what it does, and dies with the process.
 *
 * Each submitting thread has workers of its own, found by its struct pid and its address space. An operation may get
 * one of them in two ways: io_submit(2) reserves one, and makes it if none is idle, for what is to begin at once;
 * otherwise it takes one that is idle when its turn comes. If there is none, the helpers carry it out.
 *
 * A worker runs in the kernel's vhost_task_fn(), which calls worker_main() again and again, and in between handles
 * what is pending: a stop, a freeze, task work, a kill. So a transfer that any of these has interrupted goes back to
 * WAITING and is begun again afterwards; only a cancel, which moves it to CANCELLING, or the end of the worker ends
 * that. A cancel interrupts by task work with TWA_SIGNAL: it wakes interruptible waits, as a signal would, but is none.
 * It is sent under the lock and only while the worker has the operation, and the worker does not begin another while
 * anything is pending: none is interrupted for one before it.
 *
 * All of it is in one file because one lock guards one state machine, of which reserving, running and ending are steps:
 * parting them would make the struct and its lock an interface.
 *
 * None of our code may run once the module is gone. vhost_task_stop() waits until worker_main() and worker_killed()
 * are over. The callback of an interrupt may come later, when the thread exits: so it is a function of the kernel's
 * own, wakeme_after_rcu(), which completes a completion that is waited for as well.
 */
#include <linux/cpumask.h>
#include <linux/hashtable.h>
#include <linux/ioprio.h>
#include <linux/jiffies.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "counters.h"
#include "helpers.h"
#include "op.h"
#include "op_life.h"
#include "op_state.h"
#include "policy.h"
#include "proxy.h"
#include "queue.h"
#include "user.h"
#include "workers.h"

/* How long to leave a submitter without another worker after the kernel has refused one. */
#define REFUSED_TIME (HZ / 10)

enum worker_state {
	WORKER_IDLE,		/* on the list of those of its submitter */
	WORKER_RESERVED,	/* for @op, which it may not touch */
	WORKER_HANDED,		/* @op is WAITING, and the worker's to begin */
	WORKER_RUNNING,		/* it has @op */
	WORKER_ENDED,		/* on its next turn it has a work item stop the thread and free it */
};

/* The workers of one submitting thread. There are some, or an operation that may use them. */
struct taio_workers {
	struct hlist_node node;
	unsigned int refs;
	struct pid *pid;		/* a reference: nobody else has it meanwhile */
	const struct mm_struct *mm;	/* only compared: exec(2) gives the thread another one */
	struct list_head idle;		/* the one that has worked last is the first */
	unsigned long refused;		/* jiffies until which none is made, if @is_refused */
	bool is_refused;
};

struct taio_worker {
	enum worker_state state;
	struct taio_workers *workers;	/* a reference */
	struct taio_user *user;		/* a reference; counts it */
	struct taio_op *op;		/* while RESERVED, HANDED or RUNNING */
	struct list_head idle;
	struct list_head all;		/* until ENDED */
	bool is_reaped;			/* @reap is queued */
	struct task_struct *task;	/* itself, from its first turn on */
	/* Of its submitter, when it was made. */
	int ioprio, static_prio, policy;
	unsigned int rt_priority;
	unsigned long deadline;		/* jiffies: idle until then */
	bool is_killed;			/* it has no further turn */

	bool is_interrupted;		/* @interrupt was sent, and not yet seen to have arrived */
	struct rcu_synchronize interrupt;

	struct vhost_task *thread;
	struct work_struct reap;
};

static DEFINE_SPINLOCK(workers_lock); /* irqs off; guards all above and below, inside proxy->lock */
static DEFINE_HASHTABLE(table, 8);
static LIST_HEAD(all);
static unsigned int nworkers;	/* threads that there are */
static struct workqueue_struct *reapers;
static DECLARE_WAIT_QUEUE_HEAD(reaped);

/* --- the workers of a thread; under workers_lock --- */

static struct taio_workers *find(const struct pid *pid, const struct mm_struct *mm)
{
	struct taio_workers *workers;

	hash_for_each_possible(table, workers, node, (unsigned long)pid)
		if (workers->pid == pid && workers->mm == mm)
			return workers;
	return NULL;
}

/* Drops a reference. If it was the last, returns @workers for workers_free(), else NULL. */
static struct taio_workers *workers_put(struct taio_workers *workers)
{
	if (--workers->refs)
		return NULL;
	hash_del(&workers->node);
	return workers;
}

/* Without the lock: the last put of a pid may be that of a namespace. */
static void workers_free(struct taio_workers *workers)
{
	if (!workers)
		return;
	put_pid(workers->pid);
	kfree(workers);
}

static void wake(struct taio_worker *worker)
{
	/* One that has had no turn yet looks before it sleeps. */
	if (worker->task)
		wake_up_process(worker->task);
}

/*
 * By the thread: it is ENDED, and has nothing to do but to find, in vhost_task_fn(), that vhost_task_stop() was called.
 * A stop or a tracer that comes before that holds it up for as long as others like, and with it @reap and the end of
 * the module. Nothing else: it has no operation, and is on no list from which it would get one.
 */
static void have_reaped(struct taio_worker *worker)
{
	if (worker->is_reaped)
		return;
	worker->is_reaped = true;
	queue_work(reapers, &worker->reap);
}

/*
 * It is on no list of idle ones, and has no operation. The thread itself has the rest done, on its next turn: whoever
 * waited for one that is stopped, or traced, would do so for as long as others like.
 */
static void end(struct taio_worker *worker)
{
	worker->state = WORKER_ENDED;
	worker->op = NULL;
	list_del(&worker->all);
	count(workers_ended);
	if (worker->is_killed)
		have_reaped(worker);
	else
		wake(worker);
}

static void reserve(struct taio_worker *worker, struct taio_op *op)
{
	worker->state = WORKER_RESERVED;
	worker->op = op;
	op->worker = worker;
}

/* Parts a worker and the operation that it has or is reserved for. */
static void part(struct taio_worker *worker)
{
	worker->op->worker = NULL;
	worker->op = NULL;
	if (worker->is_killed) {
		end(worker);
		return;
	}
	worker->state = WORKER_IDLE;
	worker->deadline = jiffies + msecs_to_jiffies(READ_ONCE(helpers_idle_ms));
	list_add(&worker->idle, &worker->workers->idle);
	/* It may sleep without a limit. */
	if (worker->task != current)
		wake(worker);
}

static struct taio_worker *take_idle(struct taio_workers *workers)
{
	struct taio_worker *worker = list_first_entry_or_null(&workers->idle, struct taio_worker, idle);

	if (worker)
		list_del(&worker->idle);
	return worker;
}

/* In the submitter: is @worker still a copy of it, in what a thread may change for itself alone? */
static bool is_like_current(const struct taio_worker *worker)
{
	const struct task_struct *task = worker->task;

	if (!task) /* it is new */
		return true;
	return worker->static_prio == current->static_prio && worker->policy == current->policy &&
	       worker->rt_priority == current->rt_priority && worker->ioprio == get_current_ioprio() &&
	       rcu_access_pointer(task->cgroups) == rcu_access_pointer(current->cgroups) &&
	       task->nsproxy == current->nsproxy && task->fs == current->fs &&
	       cpumask_equal(&task->cpus_mask, &current->cpus_mask);
}

/* Likewise: one that is; those that are none any more end. */
static struct taio_worker *take_like_current(struct taio_workers *workers)
{
	struct taio_worker *worker;

	while ((worker = take_idle(workers)) && !is_like_current(worker))
		end(worker);
	return worker;
}

/* --- a worker's turn, in vhost_task_fn() --- */

static bool has_interrupted(long res)
{
	if (res == -EFAULT) /* perhaps a page that was waited for */
		return fatal_signal_pending(current);
	return op_is_interruption(res) && res != -EAGAIN && signal_pending(current);
}

/* True: something else than a cancel has interrupted the operation; it stays ours and is begun again. */
static bool put_off(struct taio_worker *worker, struct taio_op *op)
{
	bool moved;

	spin_lock_irq(&workers_lock);
	moved = op_move(&op->state, OP_RUNNING, OP_WAITING);
	if (moved)
		worker->state = WORKER_HANDED;
	spin_unlock_irq(&workers_lock);
	if (moved)
		count(worker_retries);
	return moved;
}

/* The operation has its result: the worker is free before the next in the queue asks for one. */
static void finish(struct taio_worker *worker, struct taio_op *op, long res)
{
	op_finish(&op->state, &res);
	spin_lock_irq(&workers_lock);
	part(worker);
	spin_unlock_irq(&workers_lock);
	if (op->proxy->is_file)
		op_complete(op, res);
	else
		queue_helped(&op->proxy->queues[op->rw], op, res);
}

static void carry_out(struct taio_worker *worker, struct taio_op *op)
{
	long res;

	count(worker_runs);
	res = op_run_to_end(op);
	if (!has_interrupted(res) || !put_off(worker, op))
		finish(worker, op, res);
}

/* What was pending has been handled since the last operation: the interrupt of that has arrived. */
static void forget_interrupt(struct taio_worker *worker)
{
	WARN_ON_ONCE(worker->is_interrupted && !completion_done(&worker->interrupt.completion));
	worker->is_interrupted = false;
}

/* Begins the operation that was handed over, unless a cancel has found it first and is about to take it back. */
static struct taio_op *begin(struct taio_worker *worker)
{
	if (worker->state != WORKER_HANDED || !op_move(&worker->op->state, OP_WAITING, OP_RUNNING))
		return NULL;
	worker->state = WORKER_RUNNING;
	return worker->op;
}

/* Under workers_lock, with nothing to do: how long to sleep. 0: it has ended. */
static long time_left(struct taio_worker *worker)
{
	if (worker->state == WORKER_ENDED)
		return 0;
	if (worker->state != WORKER_IDLE)
		return MAX_SCHEDULE_TIMEOUT;
	if (time_before(jiffies, worker->deadline))
		return worker->deadline - jiffies;
	list_del(&worker->idle);
	end(worker);
	return 0;
}

/*
 * What is pending has been handled, or is ours to leave to the caller: task work, such as the last fput() of a proxy,
 * is only run for what looks like a signal.
 */
static bool has_pending(void)
{
	if (task_work_pending(current))
		set_thread_flag(TIF_NOTIFY_SIGNAL);
	return signal_pending(current);
}

/*
 * True: call again, and first handle what is pending. False: sleep until vhost_task_stop(), which may have come
 * already: then our caller's state must be left as it is.
 */
static bool worker_main(void *arg)
{
	struct taio_worker *worker = arg;
	struct taio_op *op;
	long left = 0;

	if (READ_ONCE(worker->state) == WORKER_ENDED) {
		spin_lock_irq(&workers_lock);
		have_reaped(worker);
		spin_unlock_irq(&workers_lock);
		return false;
	}
	__set_current_state(TASK_RUNNING);
	if (has_pending())
		return true;
	spin_lock_irq(&workers_lock);
	worker->task = current;
	forget_interrupt(worker);
	op = begin(worker);
	if (!op)
		left = time_left(worker);
	if (left)
		set_current_state(TASK_INTERRUPTIBLE);
	spin_unlock_irq(&workers_lock);
	if (op)
		carry_out(worker, op);
	else if (left)
		schedule_timeout(left);
	return true;
}

/* --- the end of a worker --- */

/*
 * Its process is killed or has called exec(2), or a tracer ends it. The operation belongs to memory that may outlive
 * the thread, and waits for a helper, or a cancel: what helpers have to take along is taken from the worker.
 */
static void pass_on(struct taio_worker *worker, struct taio_op *op)
{
	struct taio_proxy *proxy = op->proxy;
	bool moved;

	cargo_add(&op->cargo, proxy->state & ~proxy->policy->own_state);
	spin_lock_irq(&proxy->lock);
	moved = op_move(&op->state, OP_RUNNING, OP_WAITING);
	if (moved) {
		spin_lock(&workers_lock);
		part(worker);
		spin_unlock(&workers_lock);
		count(worker_fallbacks);
		if (proxy->is_file)
			helpers_again(op);
		else
			queue_pass_on(&proxy->queues[op->rw], op);
	}
	spin_unlock_irq(&proxy->lock);
	if (!moved)
		finish(worker, op, -ECANCELED);
}

/* It is about to exit, and does not return to worker_main(). */
static void worker_killed(void *arg)
{
	struct taio_worker *worker = arg;
	struct taio_op *op = NULL;

	spin_lock_irq(&workers_lock);
	worker->is_killed = true;
	forget_interrupt(worker);
	switch (worker->state) {
	case WORKER_IDLE:
		list_del(&worker->idle);
		end(worker);
		break;
	case WORKER_RESERVED:
		part(worker);
		break;
	case WORKER_HANDED:
		/* NULL: a cancel takes it back, and ends the worker. */
		op = begin(worker);
		break;
	case WORKER_ENDED:
		have_reaped(worker);
		break;
	case WORKER_RUNNING:
		break;
	}
	spin_unlock_irq(&workers_lock);
	if (op)
		pass_on(worker, op);
}

/* A work item: the thread neither begins another turn nor calls us again. */
static void reap(struct work_struct *work)
{
	struct taio_worker *worker = container_of(work, struct taio_worker, reap);
	struct taio_workers *last;

	vhost_task_stop(worker->thread);
	if (worker->is_interrupted)
		wait_for_completion(&worker->interrupt.completion);
	spin_lock_irq(&workers_lock);
	last = workers_put(worker->workers);
	worker->user->workers--;
	nworkers--;
	wake_up(&reaped);
	spin_unlock_irq(&workers_lock);
	user_put(worker->user);
	workers_free(last);
	kfree(worker);
}

/* --- in the submitter --- */

static bool may_create(struct taio_workers *workers, const struct taio_user *user)
{
	unsigned int user_max, all_max;

	helpers_caps(&user_max, &all_max);
	if (workers->is_refused && time_before(jiffies, workers->refused))
		return false;
	return user->workers < user_max && nworkers < all_max;
}

static void refuse(struct taio_worker *worker, struct taio_op *op)
{
	struct taio_workers *workers = worker->workers;

	spin_lock_irq(&workers_lock);
	op->worker = NULL;
	list_del(&worker->all);
	worker->user->workers--;
	nworkers--;
	workers->is_refused = true;
	workers->refused = jiffies + REFUSED_TIME;
	workers->refs--; /* not the last: @op has one */
	spin_unlock_irq(&workers_lock);
	user_put(worker->user);
	kfree(worker);
}

/* Makes a worker of current, reserved for @op. */
static bool create(struct taio_op *op)
{
	struct taio_worker *worker = kzalloc(sizeof(*worker), GFP_KERNEL_ACCOUNT);
	bool may;

	if (!worker)
		return false;
	init_completion(&worker->interrupt.completion);
	INIT_WORK(&worker->reap, reap);
	worker->workers = op->workers;
	worker->user = user_hold(op->user);
	worker->ioprio = get_current_ioprio();
	worker->static_prio = current->static_prio;
	worker->policy = current->policy;
	worker->rt_priority = current->rt_priority;
	spin_lock_irq(&workers_lock);
	may = may_create(op->workers, op->user);
	if (may) {
		reserve(worker, op);
		list_add(&worker->all, &all);
		op->workers->refs++;
		op->user->workers++;
		nworkers++;
	}
	spin_unlock_irq(&workers_lock);
	if (!may) {
		user_put(worker->user);
		kfree(worker);
		return false;
	}
	worker->thread = compat_thread_create(worker_main, worker_killed, worker, "taio-worker");
	if (!worker->thread) {
		refuse(worker, op);
		return false;
	}
	count(workers_started);
	vhost_task_start(worker->thread);
	return true;
}

/* The workers of current, with a reference; NULL without memory. */
static struct taio_workers *workers_get(void)
{
	struct taio_workers *workers, *fresh = NULL;
	struct pid *pid = task_pid(current);

again:
	spin_lock_irq(&workers_lock);
	workers = find(pid, current->mm);
	if (!workers && fresh) {
		hash_add(table, &fresh->node, (unsigned long)pid);
		workers = fresh;
		fresh = NULL;
	}
	if (workers)
		workers->refs++;
	spin_unlock_irq(&workers_lock);
	if (workers) {
		workers_free(fresh);
		return workers;
	}
	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return NULL;
	fresh->pid = get_pid(pid);
	fresh->mm = current->mm;
	INIT_LIST_HEAD(&fresh->idle);
	goto again;
}

bool workers_reserve(struct taio_op *op, bool one)
{
	struct taio_worker *worker;

	op->worker = NULL;
	op->workers = workers_get();
	if (!op->workers || !one)
		return false;
	spin_lock_irq(&workers_lock);
	worker = take_like_current(op->workers);
	if (worker)
		reserve(worker, op);
	spin_unlock_irq(&workers_lock);
	if (worker || create(op))
		return true;
	count(workers_refused);
	return false;
}

/* --- any context --- */

void workers_release(struct taio_op *op)
{
	unsigned long flags;

	spin_lock_irqsave(&workers_lock, flags);
	if (op->worker)
		part(op->worker);
	spin_unlock_irqrestore(&workers_lock, flags);
}

bool workers_hand(struct taio_op *op)
{
	struct taio_worker *worker;
	unsigned long flags;

	if (!op->workers)
		return false;
	spin_lock_irqsave(&workers_lock, flags);
	worker = op->worker ?: take_idle(op->workers);
	if (worker) {
		reserve(worker, op);
		worker->state = WORKER_HANDED;
		wake(worker);
	}
	spin_unlock_irqrestore(&workers_lock, flags);
	return worker;
}

bool workers_take_back(struct taio_op *op)
{
	struct taio_worker *worker;
	unsigned long flags;
	bool was_handed;

	spin_lock_irqsave(&workers_lock, flags);
	worker = op->worker;
	was_handed = worker && worker->state == WORKER_HANDED;
	if (was_handed)
		part(worker);
	spin_unlock_irqrestore(&workers_lock, flags);
	return was_handed;
}

bool workers_interrupt(struct taio_op *op)
{
	struct taio_worker *worker;
	unsigned long flags;

	spin_lock_irqsave(&workers_lock, flags);
	worker = op->worker;
	/* One that is killed does not block any more: it finds the operation cancelled. */
	if (worker && !worker->is_killed) {
		/* Of an operation there is one cancel, and of a worker one operation until the last has arrived. */
		WARN_ON_ONCE(worker->is_interrupted);
		worker->is_interrupted = true;
		reinit_completion(&worker->interrupt.completion);
		init_task_work(&worker->interrupt.head, wakeme_after_rcu);
		if (task_work_add(worker->task, &worker->interrupt.head, TWA_SIGNAL))
			worker->is_interrupted = false;
		else
			count(workers_interrupted);
	}
	spin_unlock_irqrestore(&workers_lock, flags);
	return worker;
}

void workers_completed(struct taio_op *op)
{
	struct taio_workers *last;

	if (!op->workers)
		return;
	spin_lock_irq(&workers_lock);
	if (op->worker)
		part(op->worker);
	last = workers_put(op->workers);
	spin_unlock_irq(&workers_lock);
	workers_free(last);
}

/* A thread that is stopped on its way out holds up the item that reaps it: as many at once as there may be. */
int workers_create(void)
{
	reapers = alloc_workqueue("taio-reap", WQ_UNBOUND, WQ_MAX_ACTIVE);
	return reapers ? 0 : -ENOMEM;
}

/* No proxy is left and so no operation: all that have not ended are idle. */
void workers_destroy(void)
{
	struct taio_worker *worker, *next;

	spin_lock_irq(&workers_lock);
	list_for_each_entry_safe(worker, next, &all, all) {
		WARN_ON_ONCE(worker->state != WORKER_IDLE);
		list_del(&worker->idle);
		end(worker);
	}
	spin_unlock_irq(&workers_lock);
	wait_event(reaped, !READ_ONCE(nworkers));
	destroy_workqueue(reapers);
}
