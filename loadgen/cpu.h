/* SPDX-License-Identifier: MIT */
/* CPU time of processes, their ended threads included, in nanoseconds. */
#ifndef CPU_H
#define CPU_H

#include "base/opt.h"

#include <stdint.h>
#include <time.h>

#define CPU_WHY_LEN 256

struct cpu {
	clockid_t *clocks;
	size_t len;
};

/* Finds the clocks of @pids. 0, or -errno with why[CPU_WHY_LEN]: -EINVAL not a number, -ESRCH no such
 * process. */
int cpu_open(struct cpu *cpu, const struct opt_list *pids, char *why);
void cpu_close(struct cpu *cpu);

/* The sum over all processes. 0, or -ESRCH: one of them has ended. */
int cpu_read(const struct cpu *cpu, uint64_t *ns);

/* Of this process. */
uint64_t cpu_self_ns(void);

#endif
