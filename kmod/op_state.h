/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The state word of an operation: it says who owns the operation. Every function here is for any context and makes at
 * most one transition, by one atomic read-modify-write that is fully ordered where it succeeds.
 */
#ifndef TAIO_OP_STATE_H
#define TAIO_OP_STATE_H

#include <linux/atomic.h>
#include <linux/types.h>

/* The life of an operation. The transitions are in op_state.c, and nowhere else. */
enum op_state {
	OP_ARMING,	/* owned by the submitter, or by the runner that arms it again */
	OP_WOKEN,	/* the same, and a wake-up has come meanwhile */
	OP_WAITING,	/* owned by nobody: in a queue for helpers, or on the file's wait queue */
	OP_HANDED,	/* policy task: given to the submitter's task work, not begun */
	OP_RUNNING,	/* owned by its runner: a helper, a work item or the submitter transfers */
	OP_CANCELLED,	/* cancelled before a transfer began */
	OP_CANCELLING,	/* cancelled while its runner transfers */
	OP_DONE,	/* its result is decided */
	OP_NSTATES
};

/* From @from to @to. Returns false if it was in another state. */
bool op_move(atomic_t *state, enum op_state from, enum op_state to);

/* Owner: from ARMING or WOKEN to RUNNING. False: cancelled meanwhile, and still the owner's. */
bool op_ready(atomic_t *state);

/* Wake function: true if it was moved from WAITING to @woken; the caller then owns it and passes it on. */
bool op_wake(atomic_t *state, enum op_state woken);

/* Canceller: true if this is the first cancel and it came in time; @was is the state before. */
bool op_mark_cancelled(atomic_t *state, enum op_state *was);

/*
 * Owner: decides the result. From RUNNING, CANCELLING or CANCELLED to DONE; @res becomes -ECANCELED if the operation
 * was cancelled and @res reports only an interruption. Returns true if it was cancelled while RUNNING.
 */
bool op_finish(atomic_t *state, long *res);

/* Has a cancel come? For its owner. */
bool op_is_cancelled(const atomic_t *state);

const char *op_state_name(enum op_state state);

#endif
