// SPDX-License-Identifier: GPL-2.0
/*
 * How operations on streams wait. A proxy has an entry on each wait queue of its target, from attach to release, and
 * two queues of its own, for reads and for writes. An operation that has to wait is a node in one of them.
 *
 * Whoever sets @busy becomes the queue's runner, or has the policy ask one: a work item, the submitter's task work, a
 * helper. It alone tries, and only the first. @ready is cleared before each try and set by the wake function, so that
 * a wake-up that comes during a try is seen after it; while it is clear, nothing is tried and the file is not asked.
 * What has completed, or was cancelled as the first, leaves @ready set: the next may want something else. The file is
 * asked before a read is tried, unless it was its wake-up that set @ready.
 *
 * So operations of one direction complete in the order of their submission, one wake-up makes for one try, and a file
 * that says ready and gives nothing is waited for. tests/model/wait.pml checks it.
 *
 * Order of locks: a wait queue's, or fs/aio's ctx_lock; proxy->lock; the pool's, task work's and workqueues'.
 */
#include <linux/file.h>
#include <linux/poll.h>

#include "counters.h"
#include "op.h"
#include "op_life.h"
#include "op_state.h"
#include "policy.h"
#include "proxy.h"
#include "queue.h"
#include "trace.h"
#include "transfer.h"
#include "user.h"

/* Tries in a row, after which others get the processor: of the operations of a queue, and of one of them. */
#define TRIES_MAX    64
#define TRIES_OF_ONE 16

/*
 * Who finds a lock of the file's with somebody else tries as often again, a tick later each time: the kernel itself has
 * it for moments. A helper is for who has it for long; it then does the rest of the transfer, and waits in it.
 */
#define LOCKED_MAX   3

static const __poll_t events_of[] = {
	[READ] = EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLERR | EPOLLHUP,
	[WRITE] = EPOLLOUT | EPOLLWRNORM | EPOLLERR | EPOLLHUP,
};

/* --- under proxy->lock --- */

static struct taio_op *first(struct taio_queue *queue)
{
	return list_first_entry_or_null(&queue->ops, struct taio_op, wait);
}

/* The queue is busy: has somebody try its first. */
static void ask(struct taio_queue *queue, struct taio_op *op)
{
	const struct taio_policy *policy = queue->proxy->policy;

	if (op->needs_helper)
		policy->help(queue, op);
	else
		policy->run(queue, op);
}

/* Makes the queue busy if its first may be tried and nobody is there to do so. */
static void look(struct taio_queue *queue)
{
	const struct taio_policy *policy = queue->proxy->policy;

	if (queue->busy || list_empty(&queue->ops) || !(queue->ready || policy->blocks))
		return;
	queue->busy = true;
	proxy_hold(queue->proxy);
	ask(queue, first(queue));
}

void queue_wait(struct taio_queue *queue)
{
	queue->busy = false;
	proxy_put(queue->proxy); /* not the last: its file is there */
}

void queue_drop(struct taio_queue *queue, struct taio_op *op)
{
	bool was_first = first(queue) == op;

	list_del(&op->wait);
	if (was_first) {
		queue->ready = true;
		look(queue);
	}
	op_give_up(op);
}

void queue_drop_tried(struct taio_queue *queue, struct taio_op *op)
{
	queue->trying = NULL;
	queue_wait(queue);
	queue_drop(queue, op);
}

/* --- the wait queues of the target --- */

static int hook_wake(struct wait_queue_entry *entry, unsigned int mode, int sync, void *key)
{
	struct taio_proxy *proxy = container_of(entry, struct queue_hook, entry)->proxy;
	__poll_t mask = key_to_poll(key);
	unsigned long flags;
	bool was_busy;
	int rw;

	spin_lock_irqsave(&proxy->lock, flags);
	for (rw = READ; rw <= WRITE; rw++) {
		if (mask && !(mask & events_of[rw]))
			continue;
		was_busy = proxy->queues[rw].busy;
		proxy->queues[rw].ready = true;
		proxy->queues[rw].woken = !!mask;
		look(&proxy->queues[rw]);
		if (proxy->queues[rw].busy && !was_busy)
			count(woken);
	}
	spin_unlock_irqrestore(&proxy->lock, flags);
	return 1;
}

struct hook_table {
	struct poll_table_struct table;
	struct taio_proxy *proxy;
	bool full;
};

static void hook(struct file *file, struct wait_queue_head *head, struct poll_table_struct *table)
{
	struct hook_table *hooks = container_of(table, struct hook_table, table);
	struct taio_proxy *proxy = hooks->proxy;
	struct queue_hook *hook;

	if (proxy->nhooks == QUEUE_HOOKS) {
		hooks->full = true;
		return;
	}
	hook = &proxy->hooks[proxy->nhooks++];
	init_waitqueue_func_entry(&hook->entry, hook_wake);
	hook->proxy = proxy;
	hook->head = head;
	add_wait_queue(head, &hook->entry);
}

int queues_hook(struct taio_proxy *proxy)
{
	struct hook_table hooks = { .proxy = proxy };

	if (proxy->is_file || !proxy->nowait)
		return 0;
	init_poll_funcptr(&hooks.table, hook);
	hooks.table._key = events_of[READ] | events_of[WRITE];
	vfs_poll(proxy->target, &hooks.table);
	return hooks.full ? -EOPNOTSUPP : 0;
}

/*
 * Nothing is in flight. An item that has not begun has nothing to do: it waits for its tick, or behind others of its
 * user's that sleep, for as long as that user likes, while this may be the machine's one item for deferred fput(). One
 * that runs is only returning from the last that it completed, and is waited for: it frees that with code of ours.
 */
static void stop_work(struct taio_queue *queue)
{
	if (cancel_delayed_work(&queue->work))
		proxy_put(queue->proxy); /* the busy queue's; not the last: its file is there */
	flush_work(&queue->work.work);
}

void queues_end(struct taio_proxy *proxy)
{
	for (; proxy->nhooks; proxy->nhooks--)
		remove_wait_queue(proxy->hooks[proxy->nhooks - 1].head, &proxy->hooks[proxy->nhooks - 1].entry);
	stop_work(&proxy->queues[READ]);
	stop_work(&proxy->queues[WRITE]);
}

/* --- the runner --- */

/*
 * The first, which is now being tried; NULL: there is none, or another runner was asked, and the queue is not ours.
 * @woken: the file has said that there is something for it.
 */
static struct taio_op *take(struct taio_queue *queue, bool go_on, bool *woken)
{
	struct taio_proxy *proxy = queue->proxy;
	const struct taio_policy *policy = proxy->policy;
	struct taio_op *op;

	spin_lock_irq(&proxy->lock);
	op = first(queue);
	if (op && go_on && !op->needs_helper && (!policy->runs_here || policy->runs_here(op))) {
		*woken = queue->woken;
		queue->ready = false;
		queue->woken = false;
		queue->trying = op;
		op_move(&op->state, OP_WAITING, OP_RUNNING);
		spin_unlock_irq(&proxy->lock);
		return op;
	}
	if (op) {
		ask(queue, op);
		spin_unlock_irq(&proxy->lock);
		return NULL;
	}
	queue->busy = false;
	spin_unlock_irq(&proxy->lock);
	proxy_put(proxy);
	return NULL;
}

/* A write that got no memory, perhaps: nothing wakes it, for there is room. */
static bool lacks_memory(const struct taio_queue *queue)
{
	return queue->rw == WRITE && vfs_poll(queue->proxy->target, NULL) & EPOLLOUT;
}

enum outcome {
	OUTCOME_WAITS,		/* neither the queue nor its first is ours any more */
	OUTCOME_AGAIN,		/* the queue is ours, its first is not: the file has changed, or a helper is needed */
	OUTCOME_ENDS,		/* both are: it was cancelled */
};

/* There was nothing to transfer for the first. @later: nothing may wake it, so it tries again after a tick. */
static enum outcome wait_again(struct taio_queue *queue, struct taio_op *op, bool later)
{
	struct taio_proxy *proxy = queue->proxy;
	bool woken;

	count(spurious_wakeups);
	spin_lock_irq(&proxy->lock);
	if (!op_move(&op->state, OP_RUNNING, OP_WAITING)) {
		spin_unlock_irq(&proxy->lock);
		return OUTCOME_ENDS;
	}
	queue->trying = NULL;
	woken = queue->ready;
	if (!woken && !later)
		queue->busy = false;
	/* Before the unlock: from then on the first may be cancelled, the proxy be closed, and stop_work() be over. */
	if (!woken && later)
		queue_delayed_work(proxy->user->works, &queue->work, 1);
	spin_unlock_irq(&proxy->lock);
	if (woken)
		return OUTCOME_AGAIN;
	if (!later)
		proxy_put(proxy);
	return OUTCOME_WAITS;
}

/* It would have to wait for a page, or for who has a lock of the file's: a cancel ends the wait of a helper. */
static enum outcome want_helper(struct taio_queue *queue, struct taio_op *op, long *res)
{
	struct taio_proxy *proxy = queue->proxy;
	bool moved;

	if (!op_account(op)) {
		*res = -ENOMEM;
		return OUTCOME_ENDS;
	}
	count(helped);
	spin_lock_irq(&proxy->lock);
	op->needs_helper = true;
	queue->trying = NULL;
	moved = op_move(&op->state, OP_RUNNING, OP_WAITING);
	spin_unlock_irq(&proxy->lock);
	if (moved)
		return OUTCOME_AGAIN;
	*res = -EAGAIN; /* cancelled, and nothing else */
	return OUTCOME_ENDS;
}

/* Takes the first off, whose result is decided, and completes it. The queue stays busy and so there. */
static void finish(struct taio_queue *queue, struct taio_op *op, long res)
{
	struct taio_proxy *proxy = queue->proxy;

	spin_lock_irq(&proxy->lock);
	list_del(&op->wait);
	op_unlist(op);
	queue->trying = NULL;
	queue->ready = true;
	spin_unlock_irq(&proxy->lock);
	op_end(op, res);
}

static long try(struct taio_queue *queue, struct taio_op *op, bool woken)
{
	bool at_end = transfer_is_at_end(queue->proxy, queue->rw);
	int tries = 0;
	long res;

	/* Of a terminal it would have to be asked (VMIN), but that has no @nowait and so no try here. */
	if (!woken && !transfer_is_worth_a_try(queue->proxy, queue->rw, iov_iter_count(&op->iter)))
		return -EAGAIN;
	do
		res = op_run(op, true);
	while (op_goes_on(op, res) && ++tries < TRIES_OF_ONE && !op_is_cancelled(&op->state));
	if (op_goes_on(op, res))
		return -EAGAIN; /* and lacks_memory() has it go on if there is room */
	return res == -EAGAIN && at_end ? 0 : res;
}

void queue_run(struct taio_queue *queue)
{
	enum outcome outcome;
	unsigned int tries = 0;
	struct taio_op *op;
	bool woken;
	long res;

	while ((op = take(queue, tries++ < TRIES_MAX, &woken))) {
		res = try(queue, op, woken);
		outcome = OUTCOME_ENDS;
		if (res == -EAGAIN) {
			op->nlocked = 0;
			outcome = wait_again(queue, op, lacks_memory(queue));
		} else if (res == -EBUSY && op->nlocked++ < LOCKED_MAX) {
			outcome = wait_again(queue, op, true);
		} else if (res == -EBUSY || res == -EINTR) {
			outcome = want_helper(queue, op, &res);
		}
		if (outcome == OUTCOME_WAITS)
			return;
		if (outcome == OUTCOME_AGAIN)
			continue;
		op_finish(&op->state, &res);
		finish(queue, op, res);
	}
}

void queue_helped(struct taio_queue *queue, struct taio_op *op, long res)
{
	struct taio_proxy *proxy = queue->proxy;

	finish(queue, op, res);
	spin_lock_irq(&proxy->lock);
	queue->busy = false;
	look(queue);
	spin_unlock_irq(&proxy->lock);
	proxy_put(proxy);
}

void queue_pass_on(struct taio_queue *queue, struct taio_op *op)
{
	queue->trying = NULL;
	if (queue->proxy->nowait)
		queue_give_to_work(queue);
	else
		queue->proxy->policy->run(queue, op);
}

static void run_by_work(struct work_struct *work)
{
	queue_run(container_of(to_delayed_work(work), struct taio_queue, work));
}

void queue_give_to_work(struct taio_queue *queue)
{
	/* False would mean two runners. */
	WARN_ON_ONCE(!queue_delayed_work(queue->proxy->user->works, &queue->work, 0));
}

/* --- submit --- */

/* True: nothing waits, and the caller is the runner for one try. */
static bool claim(struct taio_queue *queue)
{
	struct taio_proxy *proxy = queue->proxy;
	bool claimed = false;

	spin_lock_irq(&proxy->lock);
	if (!queue->busy && queue->ready && list_empty(&queue->ops)) {
		queue->busy = true;
		queue->ready = false;
		queue->woken = false;
		claimed = true;
	}
	spin_unlock_irq(&proxy->lock);
	return claimed;
}

/* The caller's try has a result, or came to nothing. */
static void unclaim(struct taio_queue *queue)
{
	struct taio_proxy *proxy = queue->proxy;

	spin_lock_irq(&proxy->lock);
	queue->busy = false;
	queue->ready = true;
	look(queue);
	spin_unlock_irq(&proxy->lock);
}

/* Puts @op last, or first if it was tried. */
static void enqueue(struct taio_queue *queue, struct taio_op *op, bool claimed)
{
	bool again = claimed && lacks_memory(queue);
	struct taio_proxy *proxy = queue->proxy;

	spin_lock_irq(&proxy->lock);
	op_list(op);
	if (claimed)
		queue->busy = false;
	if (op_move(&op->state, OP_ARMING, OP_WAITING)) {
		count(parked);
		trace_taio_queue(op);
		list_add_tail(&op->wait, claimed ? queue->ops.next : &queue->ops);
		if (proxy->policy->queued && (queue->busy || first(queue) != op))
			proxy->policy->queued(op);
	} else {
		again = claimed;
		op_give_up(op);
	}
	queue->ready |= again;
	look(queue);
	spin_unlock_irq(&proxy->lock);
}

ssize_t queue_submit(struct taio_queue *queue, struct kiocb *iocb, struct iov_iter *iter)
{
	struct taio_proxy *proxy = queue->proxy;
	bool claimed = proxy->flags & TAIO_ATTACH_INLINE && proxy->nowait && claim(queue);
	struct taio_op *op;
	ssize_t res = -EAGAIN;
	bool is_over;

	if (claimed) {
		res = transfer_inline(proxy, iocb, iter, queue->rw);
		is_over = queue->rw == READ || res < 0 || res == iov_iter_count(iter);
		if (res != -EAGAIN && is_over) {
			unclaim(queue);
			return res;
		}
	}
	op = op_begin(proxy, iocb, iter, queue->rw);
	if (!op) {
		if (claimed)
			unclaim(queue);
		return res > 0 ? res : -ENOMEM;
	}
	if (res > 0) {
		op->done = res;
		iov_iter_advance(&op->iter, res);
	}
	enqueue(queue, op, claimed);
	return -EIOCBQUEUED;
}

ssize_t queue_try(struct taio_queue *queue, struct kiocb *iocb, struct iov_iter *iter)
{
	if (!list_empty_careful(&queue->ops))
		return -EAGAIN;
	return transfer_nowait(queue->proxy, iocb, iter, queue->rw);
}

/* --- the queues of a proxy --- */

static void queue_init(struct taio_queue *queue, struct taio_proxy *proxy, int rw)
{
	queue->proxy = proxy;
	queue->rw = rw;
	INIT_LIST_HEAD(&queue->ops);
	queue->ready = true;
	INIT_DELAYED_WORK(&queue->work, run_by_work);
}

void queues_init(struct taio_proxy *proxy)
{
	queue_init(&proxy->queues[READ], proxy, READ);
	queue_init(&proxy->queues[WRITE], proxy, WRITE);
}
