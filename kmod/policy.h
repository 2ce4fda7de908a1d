/* SPDX-License-Identifier: GPL-2.0 */
/* What a policy provides, which is a way for operations to be carried out. policies.c lists them. */
#ifndef TAIO_POLICY_H
#define TAIO_POLICY_H

#include "op_state.h"

struct taio_op;
struct taio_queue;

struct taio_policy {
	const char *name;
	u32 own_state;		/* TAIO_STATE_ bits that its runner has without taking them */
	bool has_helpers;	/* its operations count against their user's cap */
	bool has_submitter;	/* its operations know the task that has submitted them */
	bool blocks;		/* its runner waits for the file itself, and need not be woken */

	/* Streams. proxy->lock held: has @queue run, which is busy and whose first is @op. */
	void (*run)(struct taio_queue *queue, struct taio_op *op);
	/* Streams. proxy->lock held: the same, where @op needs a helper (op.h). */
	void (*help)(struct taio_queue *queue, struct taio_op *op);
	/*
	 * In the submitter, when its state is about to be taken; may sleep. Returns the TAIO_STATE_ bits that the
	 * runner is going to have without taking them, besides own_state. NULL: none.
	 */
	u32 (*reserve)(struct taio_op *op);
	/* Streams. In the submitter, proxy->lock held: @op is not to be tried yet. NULL: nothing to do. */
	void (*queued)(struct taio_op *op);
	/* Process context. It has completed: gives back what reserve() has got for it. NULL: nothing. */
	void (*completed)(struct taio_op *op);
	/* Streams. In a runner, proxy->lock held: is it one for @op? NULL: each is. */
	bool (*runs_here)(const struct taio_op *op);
	/* Files. Owner, OP_ARMING, in io_submit: makes sure that the operation completes, now or later. */
	void (*start)(struct taio_op *op);
	/*
	 * proxy->lock held: a cancel has found the operation in @was, WAITING or RUNNING, and moved it on. Makes sure
	 * that it completes, and interrupts a runner that blocks.
	 */
	void (*cancelled)(struct taio_op *op, enum op_state was);
};

#endif
