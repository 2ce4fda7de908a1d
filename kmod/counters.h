/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module counts, per CPU and written from any context. Only the sum over the CPUs means something, and
 * a sum taken while operations are in flight may be between two steps. debugfs.c has a row for each.
 */
#ifndef TAIO_COUNTERS_H
#define TAIO_COUNTERS_H

#include <linux/percpu.h>

struct taio_counters {
	unsigned long attached;			/* proxies made */
	unsigned long detached;			/* proxies gone */
	unsigned long submitted;		/* operations that had to be kept: not done inside io_submit */
	unsigned long completed;		/* of them, ended */
	unsigned long cancelled;		/* of them, ended with -ECANCELED */
	unsigned long inline_done;		/* operations done inside io_submit by INLINE */
	unsigned long inline_missed;		/* operations that INLINE tried, and that had to wait */
	unsigned long passed;			/* calls that did not come from io_submit, passed to the file */
	unsigned long handed;			/* operations handed over to an idle helper by its wake function */
	unsigned long queued;			/* operations that waited for a helper */
	unsigned long overflowed;		/* operations parked because no helper was left */
	unsigned long helpers_started;		/* helper threads started */
	unsigned long helpers_ended;		/* helper threads ended */
	unsigned long helpers_refused;		/* helper threads that the kernel refused */
	unsigned long parked;			/* times that an operation went on a wait queue */
	unsigned long woken;			/* times that a wait queue woke an operation */
	unsigned long spurious_wakeups;		/* of them, with nothing to transfer */
	unsigned long task_runs;		/* operations that their submitter carried out by task work */
	unsigned long task_fallbacks;		/* operations of policy task left to the workqueue */
	unsigned long signals_sent;		/* helpers that a cancel signalled */
	unsigned long signals_flushed;		/* signals that helpers took and threw away */
	unsigned long state_mm_taken;		/* references taken: address space */
	unsigned long state_mm_put;		/* and given back */
	unsigned long state_cred_taken;		/* references taken: credentials */
	unsigned long state_cred_put;		/* and given back */
	unsigned long state_iocontext_taken;	/* references taken: io_context */
	unsigned long state_iocontext_put;	/* and given back */
	unsigned long state_blkcg_taken;	/* references taken: block cgroup */
	unsigned long state_blkcg_put;		/* and given back */
	unsigned long state_fsize_taken;	/* limits taken: RLIMIT_FSIZE */
	unsigned long state_fsize_put;		/* and given back */
};

DECLARE_PER_CPU(struct taio_counters, taio_counters);

#define count(name) this_cpu_inc(taio_counters.name)

#endif
