/* SPDX-License-Identifier: GPL-2.0 */
/* How an operation waits: what a policy provides. policies.c lists them; policy_NAME.c is one each. */
#ifndef TAIO_POLICY_H
#define TAIO_POLICY_H

#include "op_state.h"

struct taio_op;

struct taio_policy {
	const char *name;
	u32 own_state;			/* TAIO_STATE_ that its runner has anyway */
	bool has_helpers;		/* counted by user */
	enum op_state woken_state;	/* where a wake-up moves an operation; for @woken */

	/* Owner, OP_ARMING, in io_submit: sees to it that the operation completes, now or later. */
	void (*start)(struct taio_op *op);
	/*
	 * A cancel has found the operation in @was and moved it on. WAITING, HANDED: sees to its completion.
	 * RUNNING: interrupts the runner, if that may block. Interrupts are off; takes no lock of fs/aio.
	 */
	void (*cancelled)(struct taio_op *op, enum op_state was);
	/* For park_start() alone. A wake-up has moved it from WAITING: gives it to its runner. Interrupts are off. */
	void (*woken)(struct taio_op *op);
	/* For park_start() alone. Ready before it was on the wait queue, in io_submit; RUNNING. */
	void (*ready)(struct taio_op *op);
};

#endif
