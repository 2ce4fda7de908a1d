// SPDX-License-Identifier: GPL-2.0
/* The counters themselves, and their sums. */
#include <linux/cpumask.h>

#include "counters.h"

DEFINE_PER_CPU(struct taio_counters, taio_counters);

#define ROW(name) { #name, offsetof(struct taio_counters, name) }

static const struct {
	const char *name;
	size_t offset;
} rows[] = {
	ROW(attached),
	ROW(detached),
	ROW(submitted),
	ROW(completed),
	ROW(cancelled),
	ROW(inline_done),
	ROW(inline_missed),
	ROW(passed),
	ROW(handed),
	ROW(queued),
	ROW(overflowed),
	ROW(helped),
	ROW(helpers_started),
	ROW(helpers_ended),
	ROW(helpers_refused),
	ROW(users_made),
	ROW(users_freed),
	ROW(parked),
	ROW(woken),
	ROW(spurious_wakeups),
	ROW(task_runs),
	ROW(task_fallbacks),
	ROW(workers_started),
	ROW(workers_ended),
	ROW(workers_refused),
	ROW(workers_interrupted),
	ROW(worker_runs),
	ROW(worker_retries),
	ROW(worker_fallbacks),
	ROW(signals_sent),
	ROW(signals_flushed),
	ROW(state_mm_taken),
	ROW(state_mm_put),
	ROW(state_cred_taken),
	ROW(state_cred_put),
	ROW(state_iocontext_taken),
	ROW(state_iocontext_put),
	ROW(state_blkcg_taken),
	ROW(state_blkcg_put),
	ROW(state_fsize_taken),
	ROW(state_fsize_put),
	ROW(state_memcg_taken),
	ROW(state_memcg_put),
};

static_assert(ARRAY_SIZE(rows) * sizeof(unsigned long) == sizeof(struct taio_counters));

static unsigned long sum(size_t offset)
{
	unsigned long n = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		n += READ_ONCE(*(unsigned long *)((void *)per_cpu_ptr(&taio_counters, cpu) + offset));
	return n;
}

void counters_for_each(void (*show)(const char *name, unsigned long sum, void *arg), void *arg)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		show(rows[i].name, sum(rows[i].offset), arg);
}
