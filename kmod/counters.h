/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module counts, per CPU and from any context. Only the sum over all CPUs is meaningful, and one taken while
 * operations are in flight may miss part of a step. counters.c has a row for each.
 */
#ifndef TAIO_COUNTERS_H
#define TAIO_COUNTERS_H

#include <linux/percpu.h>

struct taio_counters {
	unsigned long attached;			/* proxies made */
	unsigned long detached;			/* proxies released */
	unsigned long submitted;		/* operations not completed inside io_submit(2) */
	unsigned long completed;		/* of those, completed */
	unsigned long cancelled;		/* of those, completed with -ECANCELED */
	unsigned long inline_done;		/* operations that INLINE completed inside io_submit(2) */
	unsigned long inline_missed;		/* operations that INLINE tried but that had to wait */
	unsigned long passed;			/* calls from elsewhere than io_submit(2), passed to the file */
	unsigned long handed;			/* operations handed to an idle helper by its wake function */
	unsigned long queued;			/* operations that waited for a helper */
	unsigned long overflowed;		/* times a work item tried because no helper was free */
	unsigned long helped;			/* operations left to a helper for a page or a lock to wait for */
	unsigned long helpers_started;		/* helper threads started */
	unsigned long helpers_ended;		/* helper threads ended */
	unsigned long helpers_refused;		/* helper threads that the kernel refused to create */
	unsigned long users_made;		/* accounts of users made */
	unsigned long users_freed;		/* and freed */
	unsigned long parked;			/* operations that went into a queue of their proxy's */
	unsigned long woken;			/* times a wake-up of the file had such a queue run */
	unsigned long spurious_wakeups;		/* tries of a runner that found nothing to transfer */
	unsigned long task_runs;		/* queues that the submitter of the first ran in task work */
	unsigned long task_fallbacks;		/* queues of policy task that a work item ran instead */
	unsigned long workers_started;		/* workers made of submitters */
	unsigned long workers_ended;		/* workers ended, whatever the reason */
	unsigned long workers_refused;		/* workers that the kernel or a cap refused */
	unsigned long workers_interrupted;	/* notifications that cancels sent to workers */
	unsigned long worker_runs;		/* operations that a worker began, or began again */
	unsigned long worker_retries;		/* of those, interrupted by something else than a cancel */
	unsigned long worker_fallbacks;		/* operations of policy worker that helpers were asked to carry out */
	unsigned long signals_sent;		/* signals that cancels sent to helpers */
	unsigned long signals_flushed;		/* signals that helpers received and flushed */
	unsigned long state_mm_taken;		/* references to address spaces taken */
	unsigned long state_mm_put;		/* and released */
	unsigned long state_cred_taken;		/* references to credentials taken */
	unsigned long state_cred_put;		/* and released */
	unsigned long state_iocontext_taken;	/* references to io_contexts taken */
	unsigned long state_iocontext_put;	/* and released */
	unsigned long state_blkcg_taken;	/* references to block cgroups taken */
	unsigned long state_blkcg_put;		/* and released */
	unsigned long state_fsize_taken;	/* RLIMIT_FSIZE limits recorded */
	unsigned long state_fsize_put;		/* and dropped */
	unsigned long state_memcg_taken;	/* references to memory cgroups taken, by a transfer each */
	unsigned long state_memcg_put;		/* and released */
};

DECLARE_PER_CPU(struct taio_counters, taio_counters);

#define count(name) this_cpu_inc(taio_counters.name)

/* Calls @show with the name and the sum of each counter, in the order above. */
void counters_for_each(void (*show)(const char *name, unsigned long sum, void *arg), void *arg);

#endif
