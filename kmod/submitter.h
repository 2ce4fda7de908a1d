/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The state mask: what of the submitter's state an operation takes along (TAIO_STATE_), taken at submit,
 * put on by a helper for the transfer, given back at the end.
 */
#ifndef TAIO_STATE_H
#define TAIO_STATE_H

#include <linux/types.h>

struct cgroup_subsys_state;
struct cred;
struct io_context;
struct mm_struct;

/* What is taken. A bit of @taken that is clear: the member is not ours, or not set. */
struct op_cargo {
	u32 taken;
	u16 ioprio;			/* IOCONTEXT */
	struct mm_struct *mm;		/* always set: fs/aio keeps it while an operation is in flight */
	const struct cred *cred;
	struct io_context *ioc;		/* NULL: the submitter had none */
	struct cgroup_subsys_state *blkcg;
	unsigned long fsize;
};

/* What a helper had before it put the cargo on. */
struct op_saved {
	const struct cred *cred;
	struct io_context *ioc;
	unsigned long fsize;
};

/* In the submitter. Takes what @mask says. Cannot fail. */
void cargo_take(struct op_cargo *cargo, u32 mask, u16 ioprio);
void cargo_put(struct op_cargo *cargo);

/* In a helper or the submitter itself, around a transfer. */
void cargo_enter(const struct op_cargo *cargo, struct op_saved *saved);
void cargo_leave(const struct op_cargo *cargo, const struct op_saved *saved);

#endif
