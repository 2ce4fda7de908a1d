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
	OP_ARMING,	/* owned by the submitter */
	OP_WAITING,	/* owned by nobody: in a queue */
	OP_RUNNING,	/* owned by its runner: a helper, a work item or the submitter transfers */
	OP_CANCELLED,	/* cancelled before a transfer began */
	OP_CANCELLING,	/* cancelled while its runner transfers */
	OP_DONE,	/* its result is decided */
	OP_NSTATES
};

/* From @from to @to. Returns false if it was in another state. */
bool op_move(atomic_t *state, enum op_state from, enum op_state to);

/* Canceller: true if this is the first cancel and it came in time; @was is the state before. */
bool op_mark_cancelled(atomic_t *state, enum op_state *was);

/*
 * Owner: decides the result. From RUNNING, CANCELLING or CANCELLED to DONE; @res becomes -ECANCELED if the operation
 * was cancelled and @res reports only an interruption, or a page that was not there. Returns true if it was cancelled
 * while RUNNING.
 */
bool op_finish(atomic_t *state, long *res);

/* Does the result of a transfer say only that its wait was interrupted? */
bool op_is_interruption(long res);

/* Has a cancel come? For its owner. */
bool op_is_cancelled(const atomic_t *state);

const char *op_state_name(enum op_state state);

#endif
