/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module counts: one table, from which debugfs prints. A counter is a per-CPU word, written from any
 * context; only the sum means something, and a sum taken while operations are in flight may be between two steps.
 */
#ifndef TAIO_COUNTERS_H
#define TAIO_COUNTERS_H

#include <linux/percpu.h>

/* X(name, what debugfs says of it) */
#define TAIO_COUNTERS(X)                                                                   \
	X(attached, "proxies made")                                                        \
	X(detached, "proxies gone")                                                        \
	X(submitted, "operations that had to be kept: not done inside io_submit")          \
	X(completed, "of them, ended")                                                     \
	X(cancelled, "of them, ended with -ECANCELED")                                     \
	X(inline_done, "operations done inside io_submit by INLINE")                       \
	X(inline_missed, "operations that INLINE tried, and that had to wait")             \
	X(passed, "calls that did not come from io_submit, passed to the file")            \
	X(handed, "operations handed over to an idle helper by its wake function")         \
	X(queued, "operations that waited for a helper")                                   \
	X(overflowed, "operations parked because no helper was left")                      \
	X(workers_started, "helper threads started")                                       \
	X(workers_ended, "helper threads ended")                                           \
	X(workers_refused, "helper threads that the kernel refused")                       \
	X(parked, "times that an operation went on a wait queue")                          \
	X(woken, "times that a wait queue woke an operation")                              \
	X(woken_in_vain, "of them, with nothing to transfer")                              \
	X(task_runs, "operations that their submitter carried out by task work")           \
	X(task_fallbacks, "operations of policy task left to the workqueue")               \
	X(signals_sent, "helpers that a cancel signalled")                                 \
	X(signals_flushed, "signals that helpers took and threw away")                     \
	X(state_mm_taken, "references taken: address space")                               \
	X(state_mm_put, "and given back")                                                  \
	X(state_cred_taken, "references taken: credentials")                               \
	X(state_cred_put, "and given back")                                                \
	X(state_iocontext_taken, "references taken: io_context")                           \
	X(state_iocontext_put, "and given back")                                           \
	X(state_blkcg_taken, "references taken: block cgroup")                             \
	X(state_blkcg_put, "and given back")                                               \
	X(state_fsize_taken, "limits taken: RLIMIT_FSIZE")                                 \
	X(state_fsize_put, "and given back")

enum taio_counter {
#define X(name, text) COUNT_##name,
	TAIO_COUNTERS(X)
#undef X
	TAIO_NCOUNTERS
};

struct taio_counters {
	unsigned long n[TAIO_NCOUNTERS];
};

DECLARE_PER_CPU(struct taio_counters, taio_counters);

#define count(name) this_cpu_inc(taio_counters.n[COUNT_##name])

#endif
