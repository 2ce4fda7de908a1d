/* SPDX-License-Identifier: MIT */
/* The module's helpers as /proc and /sys show them: threads taio/N, and the workers of unbound workqueues. */
#include "bench.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool line_read(const char *path, char *line, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, line, len - 1);
	close(fd);
	if (n <= 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/* A user's process has something to show in cmdline; the kernel's threads have not. */
static bool is_kthread(int pid)
{
	char path[64], line[8];

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	return !line_read(path, line, sizeof(line));
}

void kthreads_each(task_fn *each, void *arg)
{
	char path[64], name[64];
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	CHECK(dir);
	while ((entry = readdir(dir))) {
		int pid = isdigit((unsigned char)*entry->d_name) ? atoi(entry->d_name) : 0;

		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		if (pid && is_kthread(pid) && line_read(path, name, sizeof(name)))
			each(pid, name, arg);
	}
	closedir(dir);
}

static void thread_pin(int pid, const char *name, void *arg)
{
	/* One that is gone needs none. */
	if (!strncmp(name, "taio/", 5))
		sched_setaffinity(pid, sizeof(cpu_set_t), arg);
}

#define CPUMASK "/sys/devices/virtual/workqueue/cpumask"

static void workers_allow(unsigned long cpus)
{
	char line[64];
	FILE *file;

	/* To set it makes all workqueues anew, even if it stays the same. */
	if (line_read(CPUMASK, line, sizeof(line)) && strtoul(line, NULL, 16) == cpus)
		return;
	file = fopen(CPUMASK, "we");
	if (!file || fprintf(file, "%lx\n", cpus) < 0 || fclose(file))
		fail_at(HERE(), CPUMASK ": %m");
}

static void helpers_allow(unsigned long cpus)
{
	cpu_set_t set;

	workers_allow(cpus);
	CPU_ZERO(&set);
	for (unsigned int cpu = 0; cpu < 8 * sizeof(cpus); cpu++)
		if (cpus >> cpu & 1)
			CPU_SET(cpu, &set);
	kthreads_each(thread_pin, &set);
}

void helpers_pin(unsigned int cpu)
{
	helpers_allow(1ul << cpu);
}

void helpers_free(void)
{
	helpers_allow((1ul << sysconf(_SC_NPROCESSORS_ONLN)) - 1);
}
