// SPDX-License-Identifier: GPL-2.0
/*
 * Every transition of an operation's state word. Each is one atomic step, which one writer wins; the winner owns what
 * follows. docs/cancel.md explains the protocol; tests/model checks it.
 *
 *   ARMING --> WAITING    queued
 *   WAITING --> RUNNING   its runner transfers
 *   RUNNING --> WAITING   there was nothing to transfer
 *   RUNNING --> DONE
 *
 *   ARMING, WAITING --> CANCELLED --> DONE
 *   RUNNING --> CANCELLING --> DONE
 */
#include <linux/errno.h>

#include "op_state.h"

static const char *const state_names[OP_NSTATES] = {
	[OP_ARMING] = "arming",	      [OP_WAITING] = "waiting",	      [OP_RUNNING] = "running",
	[OP_CANCELLED] = "cancelled", [OP_CANCELLING] = "cancelling", [OP_DONE] = "done",
};

/* The state to which a cancel moves an operation; the state itself where it is too late for a cancel. */
static const enum op_state cancel_to[OP_NSTATES] = {
	[OP_ARMING] = OP_CANCELLED,	[OP_WAITING] = OP_CANCELLED,	    [OP_RUNNING] = OP_CANCELLING,
	[OP_CANCELLED] = OP_CANCELLED,	[OP_CANCELLING] = OP_CANCELLING,    [OP_DONE] = OP_DONE,
};

const char *op_state_name(enum op_state state)
{
	return state_names[state];
}

bool op_move(atomic_t *state, enum op_state from, enum op_state to)
{
	return atomic_cmpxchg(state, from, to) == from;
}

bool op_is_cancelled(const atomic_t *state)
{
	int now = atomic_read(state);

	return now == OP_CANCELLED || now == OP_CANCELLING;
}

bool op_mark_cancelled(atomic_t *state, enum op_state *was)
{
	int now = atomic_read(state);

	do {
		if (cancel_to[now] == now)
			return false;
	} while (!atomic_try_cmpxchg(state, &now, cancel_to[now]));
	*was = now;
	return true;
}

bool op_is_interruption(long res)
{
	switch (res) {
	case -EINTR:
	case -EAGAIN:
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
	case -ERESTARTNOHAND:
	case -ERESTART_RESTARTBLOCK:
		return true;
	}
	return false;
}

bool op_finish(atomic_t *state, long *res)
{
	enum op_state was = atomic_xchg(state, OP_DONE);

	/* -EFAULT: the signal has ended the wait for a page. */
	if (was != OP_RUNNING && (op_is_interruption(*res) || *res == -EFAULT))
		*res = -ECANCELED;
	/* fs/aio turns the restart codes into -EINTR where they are returned, not where they are completed. */
	else if (op_is_interruption(*res) && *res != -EAGAIN)
		*res = -EINTR;
	return was == OP_CANCELLING;
}
