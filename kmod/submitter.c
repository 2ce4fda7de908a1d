// SPDX-License-Identifier: GPL-2.0
/*
 * The state mask: one row for each bit. cargo_take() runs in the submitter, cargo_enter() and cargo_leave() around the
 * transfer in whoever runs it, cargo_put() where the operation ends.
 *
 * The address space: mmgrab(), never mmget(). Whoever holds mm_users keeps a dying process from reaching exit_aio(),
 * which is what cancels its operations. mmgrab() is enough for kthread_use_mm(), because exit_aio() waits for every
 * operation before the page tables go.
 */
#include <linux/bitops.h>
#include <linux/blk-cgroup.h>
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/iocontext.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/mmu_context.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "compat.h"
#include "counters.h"
#include "submitter.h"
#include "uapi/taio.h"

static bool is_helper(void)
{
	return current->flags & PF_KTHREAD;
}

/* A thread that all users share, and that has to be left as it was. */
static bool is_shared(void)
{
	return current->flags & PF_WQ_WORKER;
}

/* --- address space --- */

static void mm_take(struct op_cargo *cargo)
{
	mmgrab(cargo->mm);
	count(state_mm_taken);
}

static void mm_put(struct op_cargo *cargo)
{
	mmdrop(cargo->mm);
	count(state_mm_put);
}

/* --- credentials --- */

static void cred_take(struct op_cargo *cargo)
{
	cargo->cred = get_current_cred();
	count(state_cred_taken);
}

static void cred_put(struct op_cargo *cargo)
{
	put_cred(cargo->cred);
	count(state_cred_put);
}

static void cred_enter(const struct op_cargo *cargo, struct op_saved *saved)
{
	saved->cred = NULL;
	if (cargo->cred != current_cred())
		saved->cred = override_creds(cargo->cred);
}

static void cred_leave(const struct op_cargo *cargo, const struct op_saved *saved)
{
	if (saved->cred)
		revert_creds(saved->cred);
}

/* --- io_context: the block layer finds ioprio and the scheduler's queues there --- */

static void iocontext_take(struct op_cargo *cargo)
{
	cargo->ioc = current->io_context;
	if (cargo->ioc)
		atomic_long_inc(&cargo->ioc->refcount);
	count(state_iocontext_taken);
}

static void iocontext_put(struct op_cargo *cargo)
{
	if (cargo->ioc)
		put_io_context(cargo->ioc);
	count(state_iocontext_put);
}

/* task_lock(): ioprio_set(2) may look at a helper meanwhile. */
static struct io_context *iocontext_swap(struct io_context *ioc)
{
	struct io_context *old;

	task_lock(current);
	old = current->io_context;
	current->io_context = ioc;
	task_unlock(current);
	return old;
}

/* A submitter without one gets the helper's own, which serves as well as a new one: it has no ioprio either. */
static void iocontext_enter(const struct op_cargo *cargo, struct op_saved *saved)
{
	if (cargo->ioc)
		saved->ioc = iocontext_swap(cargo->ioc);
}

static void iocontext_leave(const struct op_cargo *cargo, const struct op_saved *saved)
{
	if (cargo->ioc)
		iocontext_swap(saved->ioc);
}

/* --- block cgroup --- */

static void blkcg_take(struct op_cargo *cargo)
{
	cargo->blkcg = compat_current_blkcg_get();
	count(state_blkcg_taken);
}

static void blkcg_put(struct op_cargo *cargo)
{
	compat_blkcg_put(cargo->blkcg);
	count(state_blkcg_put);
}

static void blkcg_enter(const struct op_cargo *cargo, struct op_saved *saved)
{
	kthread_associate_blkcg(cargo->blkcg);
}

static void blkcg_leave(const struct op_cargo *cargo, const struct op_saved *saved)
{
	kthread_associate_blkcg(NULL);
}

/* --- RLIMIT_FSIZE: a helper's own is infinite; it shares its signal_struct, and so its limits, with nobody --- */

static void fsize_take(struct op_cargo *cargo)
{
	cargo->fsize = rlimit(RLIMIT_FSIZE);
	count(state_fsize_taken);
}

static void fsize_put(struct op_cargo *cargo)
{
	count(state_fsize_put);
}

static void fsize_enter(const struct op_cargo *cargo, struct op_saved *saved)
{
	saved->fsize = rlimit(RLIMIT_FSIZE);
	WRITE_ONCE(current->signal->rlim[RLIMIT_FSIZE].rlim_cur, cargo->fsize);
}

static void fsize_leave(const struct op_cargo *cargo, const struct op_saved *saved)
{
	WRITE_ONCE(current->signal->rlim[RLIMIT_FSIZE].rlim_cur, saved->fsize);
}

/*
 * --- memory cgroup: what a helper allocates for the operation, such as the pages of a pipe, is charged to that of the
 * address space. It is looked up when the transfer begins, so that what waits keeps no group that was removed.
 */

static void memcg_enter(const struct op_cargo *cargo, struct op_saved *saved)
{
	saved->memcg = get_mem_cgroup_from_mm(cargo->mm);
	count(state_memcg_taken);
	saved->memcg_before = set_active_memcg(saved->memcg);
}

static void memcg_leave(const struct op_cargo *cargo, const struct op_saved *saved)
{
	set_active_memcg(saved->memcg_before);
	mem_cgroup_put(saved->memcg);
	count(state_memcg_put);
}

/* --- nice value, which every operation takes --- */

/* A submitter that runs only when nobody else wants to has no weaker helper than this. */
static int nice_of_current(void)
{
	return current->policy == SCHED_IDLE ? MAX_NICE : task_nice(current);
}

/* A helper keeps it for its next operation, whose submitter sets it before the wake-up (cargo_prepare()). */
static void nice_enter(const struct op_cargo *cargo, struct op_saved *saved)
{
	saved->nice = task_nice(current);
	set_user_nice(current, cargo->nice);
}

static void nice_leave(const struct op_saved *saved)
{
	if (is_shared())
		set_user_nice(current, saved->nice);
}

void cargo_prepare(const struct op_cargo *cargo, struct task_struct *helper)
{
	set_user_nice(helper, cargo->nice);
}

/* By number of the bit. No row depends on another. Helpers alone enter and leave, but for CRED. */
static const struct {
	void (*take)(struct op_cargo *cargo);
	void (*put)(struct op_cargo *cargo);
	void (*enter)(const struct op_cargo *cargo, struct op_saved *saved);
	void (*leave)(const struct op_cargo *cargo, const struct op_saved *saved);
} rows[] = {
	[const_ilog2(TAIO_STATE_MM)] = { mm_take, mm_put, NULL, NULL },
	[const_ilog2(TAIO_STATE_CRED)] = { cred_take, cred_put, cred_enter, cred_leave },
	[const_ilog2(TAIO_STATE_IOCONTEXT)] = { iocontext_take, iocontext_put, iocontext_enter, iocontext_leave },
	[const_ilog2(TAIO_STATE_BLKCG)] = { blkcg_take, blkcg_put, blkcg_enter, blkcg_leave },
	[const_ilog2(TAIO_STATE_FSIZE)] = { fsize_take, fsize_put, fsize_enter, fsize_leave },
	[const_ilog2(TAIO_STATE_MEMCG)] = { NULL, NULL, memcg_enter, memcg_leave },
};

void cargo_take(struct op_cargo *cargo, u32 mask, u16 ioprio)
{
	cargo->taken = 0;
	cargo->mm = current->mm;
	cargo->ioprio = ioprio;
	cargo->nice = nice_of_current();
	cargo_add(cargo, mask);
}

void cargo_add(struct op_cargo *cargo, u32 mask)
{
	unsigned long bits = mask & ~cargo->taken;
	int bit;

	for_each_set_bit(bit, &bits, ARRAY_SIZE(rows))
		if (rows[bit].take)
			rows[bit].take(cargo);
	cargo->taken |= mask;
}

void cargo_put(struct op_cargo *cargo)
{
	unsigned long bits = cargo->taken;
	int bit;

	for_each_set_bit(bit, &bits, ARRAY_SIZE(rows))
		if (rows[bit].put)
			rows[bit].put(cargo);
}

static bool is_dying(const struct task_struct *task)
{
	return READ_ONCE(task->signal->flags) & SIGNAL_GROUP_EXIT || READ_ONCE(task->signal->group_exec_task);
}

/* Under rcu_read_lock(): does no task have @mm any more, or one whose process is dying? */
static bool is_owner_dying(const struct mm_struct *mm)
{
#ifdef CONFIG_MEMCG
	const struct task_struct *owner = rcu_dereference(mm->owner);

	return !owner || is_dying(owner);
#else
	return false; /* it cannot be told */
#endif
}

bool cargo_is_abandoned(const struct op_cargo *cargo, pid_t submitter)
{
	const struct task_struct *task;
	bool lives;

	rcu_read_lock();
	lives = !is_owner_dying(cargo->mm);
	if (!lives) {
		/* Not if it has ended: its number may be another's. */
		task = pid_task(find_pid_ns(submitter, &init_pid_ns), PIDTYPE_PID);
		lives = task && READ_ONCE(task->mm) == cargo->mm && !is_dying(task);
	}
	rcu_read_unlock();
	return !lives;
}

/*
 * The address space comes first. A helper enters it whether or not a reference was taken. Who is none is the submitter,
 * and has everything but perhaps other credentials by now.
 */
void cargo_enter(const struct op_cargo *cargo, struct op_saved *saved)
{
	unsigned long bits = cargo->taken;
	int bit;

	if (!is_helper()) {
		if (bits & TAIO_STATE_CRED)
			cred_enter(cargo, saved);
		return;
	}
	kthread_use_mm(cargo->mm);
	nice_enter(cargo, saved);
	for_each_set_bit(bit, &bits, ARRAY_SIZE(rows))
		if (rows[bit].enter)
			rows[bit].enter(cargo, saved);
}

void cargo_leave(const struct op_cargo *cargo, const struct op_saved *saved)
{
	unsigned long bits = cargo->taken;
	int bit;

	if (!is_helper()) {
		if (bits & TAIO_STATE_CRED)
			cred_leave(cargo, saved);
		return;
	}
	for_each_set_bit(bit, &bits, ARRAY_SIZE(rows))
		if (rows[bit].leave)
			rows[bit].leave(cargo, saved);
	nice_leave(saved);
	kthread_unuse_mm(cargo->mm);
}
