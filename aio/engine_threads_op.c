/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing but the moves of the state word that both policies share. Called by helpers and by the ring's
 * thread. Invariant: whoever moved an operation to a state from which an arrow leads to OP_DONE calls
 * threads_op_finish(), once.
 */
#include "engine_threads_op.h"

void threads_op_finish(struct threads_op *op, long res)
{
	op->res = res;
	atomic_store(&op->state, OP_DONE);
	done_push(op->done, &op->job);
}

enum op_state threads_op_cancel(struct threads_op *op)
{
	static const enum op_state to[] = {
		[OP_FREE] = OP_FREE,
		[OP_QUEUED] = OP_WITHDRAWN,
		[OP_WITHDRAWN] = OP_WITHDRAWN,
		[OP_MOVING] = OP_MOVING_CANCEL,
		[OP_MOVING_CANCEL] = OP_MOVING_CANCEL,
		[OP_WAITING] = OP_CANCELLED,
		[OP_CANCELLED] = OP_CANCELLED,
		[OP_DONE] = OP_DONE,
	};
	enum op_state found = atomic_load(&op->state);

	while (to[found] != found && !atomic_compare_exchange_weak(&op->state, &found, to[found]))
		;
	return found;
}
