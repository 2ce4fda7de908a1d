// SPDX-License-Identifier: GPL-2.0
/*
 * Policy worker: a thread of the submitter's own process blocks for the first; task work that looks like a signal
 * interrupts it. A worker has all of the submitter's state but the credentials, which may have changed since it was
 * made.
 *
 * Without a worker, the helpers of policy block carry the operation out. They need what the proxy's mask says, so an
 * operation that is not sure of a worker takes all of that along.
 */
#include "counters.h"
#include "helpers.h"
#include "op.h"
#include "op_life.h"
#include "op_state.h"
#include "policy_worker.h"
#include "proxy.h"
#include "queue.h"
#include "trace.h"
#include "uapi/taio.h"
#include "workers.h"

static struct taio_queue *queue_of(struct taio_op *op)
{
	return &op->proxy->queues[op->rw];
}

/* What waits behind others needs none now, and may get one of theirs. */
static u32 worker_reserve(struct taio_op *op)
{
	bool at_once = op->proxy->is_file || list_empty_careful(&queue_of(op)->ops);

	return workers_reserve(op, at_once) ? ~TAIO_STATE_CRED : 0;
}

static void take_all(struct taio_op *op)
{
	cargo_add(&op->cargo, op->proxy->state & ~op->proxy->policy->own_state);
}

static void worker_queued(struct taio_op *op)
{
	workers_release(op);
	take_all(op);
}

/*
 * All that was not handed over within io_submit(2) has taken its cargo. So if anything is missing here, this is still
 * the submitter: it had a worker, which was killed.
 */
static void fall_back(struct taio_op *op)
{
	count(worker_fallbacks);
	take_all(op);
}

static void worker_run(struct taio_queue *queue, struct taio_op *op)
{
	queue->trying = op;
	if (workers_hand(op))
		return;
	queue->trying = NULL;
	fall_back(op);
	helpers_run(queue, op);
}

static void worker_start(struct taio_op *op)
{
	struct taio_proxy *proxy = op->proxy;
	bool moved;

	/* No cancel comes between. */
	spin_lock_irq(&proxy->lock);
	moved = op_move(&op->state, OP_ARMING, OP_WAITING);
	if (moved) {
		trace_taio_queue(op);
		if (!workers_hand(op)) {
			fall_back(op);
			helpers_again(op);
		}
	}
	spin_unlock_irq(&proxy->lock);
	if (!moved)
		op_give_up(op);
}

static void worker_cancelled(struct taio_op *op, enum op_state was)
{
	if (was == OP_RUNNING && workers_interrupt(op))
		return;
	if (was != OP_WAITING || !workers_take_back(op)) {
		helpers_cancelled(op, was);
		return;
	}
	if (op->proxy->is_file)
		op_give_up(op);
	else
		queue_drop_tried(queue_of(op), op);
}

const struct taio_policy taio_policy_worker = {
	.name = "worker",
	.own_state = TAIO_STATE_MM,
	.has_helpers = true,
	.blocks = true,
	.reserve = worker_reserve,
	.queued = worker_queued,
	.completed = workers_completed,
	.run = worker_run,
	.help = worker_run,
	.start = worker_start,
	.cancelled = worker_cancelled,
};
