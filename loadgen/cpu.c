/* SPDX-License-Identifier: MIT */
/*
 * CPU time from clock_getcpuclockid(3). A process's CPU clock counts nanoseconds, where /proc/PID/stat counts
 * ticks of 10 ms, and it includes threads that have ended, which /proc/PID/task omits.
 */
#include "cpu.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static int clock_of(const char *text, clockid_t *clock, char *why)
{
	uint64_t pid;
	int err;

	if (opt_parse_uint(text, &pid) < 0 || pid == 0 || pid > INT32_MAX) {
		snprintf(why, CPU_WHY_LEN, "--server-pid: '%.40s' is not a process ID", text);
		return -EINVAL;
	}
	err = clock_getcpuclockid((pid_t)pid, clock);
	if (err)
		snprintf(why, CPU_WHY_LEN, "--server-pid: process %.40s: %s", text, strerror(err));
	return -err;
}

int cpu_open(struct cpu *cpu, const struct opt_list *pids, char *why)
{
	int err = 0;

	*cpu = (struct cpu){0};
	if (!pids->len)
		return 0;
	cpu->clocks = calloc(pids->len, sizeof(*cpu->clocks));
	if (!cpu->clocks) {
		snprintf(why, CPU_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	for (; !err && cpu->len < pids->len; cpu->len++)
		err = clock_of(pids->items[cpu->len], &cpu->clocks[cpu->len], why);
	if (err)
		cpu_close(cpu);
	return err;
}

void cpu_close(struct cpu *cpu)
{
	free(cpu->clocks);
	*cpu = (struct cpu){0};
}

int cpu_read(const struct cpu *cpu, uint64_t *ns)
{
	struct timespec ts;

	*ns = 0;
	for (size_t i = 0; i < cpu->len; i++) {
		if (clock_gettime(cpu->clocks[i], &ts) < 0)
			return -ESRCH;
		*ns += timespec_ns(&ts);
	}
	return 0;
}

uint64_t cpu_self_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return timespec_ns(&ts);
}
