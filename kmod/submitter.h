/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cargo of an operation: the parts of its submitter's state that the mask of TAIO_STATE_ bits selects. They are
 * taken at submit, entered for the transfer, and released at the end.
 */
#ifndef TAIO_SUBMITTER_H
#define TAIO_SUBMITTER_H

#include <linux/types.h>

struct cgroup_subsys_state;
struct cred;
struct io_context;
struct mem_cgroup;
struct mm_struct;
struct task_struct;

/* Where a bit of @taken is clear, its member is not ours or not set. */
struct op_cargo {
	u32 taken;
	u16 ioprio;			/* IOCONTEXT */
	struct mm_struct *mm;		/* always set: fs/aio keeps it while an operation is in flight */
	const struct cred *cred;
	struct io_context *ioc;		/* NULL: the submitter had none */
	struct cgroup_subsys_state *blkcg;
	unsigned long fsize;
	int nice;			/* always set */
};

/* What a helper had before it entered the cargo. */
struct op_saved {
	const struct cred *cred;
	struct io_context *ioc;
	unsigned long fsize;
	struct mem_cgroup *memcg;	/* the submitter's, a reference */
	struct mem_cgroup *memcg_before;
	int nice;
};

/* In the submitter: takes what @mask selects. Cannot fail. */
void cargo_take(struct op_cargo *cargo, u32 mask, u16 ioprio);
/* Likewise in a thread that shares it all with the submitter: takes what of @mask was left out. Any context there. */
void cargo_add(struct op_cargo *cargo, u32 mask);
void cargo_put(struct op_cargo *cargo);

/* Before @helper, which sleeps, is woken for the operation: gives it the nice value of the submitter. Any context. */
void cargo_prepare(const struct op_cargo *cargo, struct task_struct *helper);

/*
 * Whether the process that owns the address space is killed, exits or leaves it by exec(2), and that of @submitter as
 * well, a thread by its number in the first namespace, if it is another. Only while the operation is in flight. Any
 * context.
 */
bool cargo_is_abandoned(const struct op_cargo *cargo, pid_t submitter);

/* Around a transfer, in whoever runs it. */
void cargo_enter(const struct op_cargo *cargo, struct op_saved *saved);
void cargo_leave(const struct op_cargo *cargo, const struct op_saved *saved);

#endif
