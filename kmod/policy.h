/* SPDX-License-Identifier: GPL-2.0 */
/* What a policy provides, which is a way for an operation to wait. policies.c lists them, policy_NAME.c defines one. */
#ifndef TAIO_POLICY_H
#define TAIO_POLICY_H

#include "op_state.h"

struct taio_op;

struct taio_policy {
	const char *name;
	u32 own_state;			/* TAIO_STATE_ bits that its runner has without taking them */
	bool has_helpers;		/* its operations count against their user's cap */
	enum op_state woken_state;	/* the state to which a wake-up moves an operation, for woken() */

	/* Owner, OP_ARMING, in io_submit: makes sure that the operation completes, now or later. */
	void (*start)(struct taio_op *op);
	/*
	 * A cancel has found the operation in @was and moved it on. WAITING, HANDED: makes sure that it completes.
	 * RUNNING: interrupts the runner if it may block. Interrupts are off; takes no lock of fs/aio.
	 */
	void (*cancelled)(struct taio_op *op, enum op_state was);
	/* Only for park_start(): a wake-up has moved it from WAITING; gives it to its runner. Interrupts are off. */
	void (*woken)(struct taio_op *op);
	/* Only for park_start(), in io_submit: it was ready before it was on the wait queue; RUNNING. */
	void (*ready)(struct taio_op *op);
};

#endif
