/* SPDX-License-Identifier: MIT */
/*
 * What a server and the kernel's helpers cost in a window of time: processor time and the times they were
 * switched to, of every task, from schedstat. The load runs before and after the window; its rate makes costs
 * of a request of it. Helpers that start inside of the window count from their start.
 */
#include "bench.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_LIMIT_MS 60000

enum side { SERVER, THREADS, WORKERS, LOAD, SIDES };

static const char *const side_names[SIDES] = {"server", "helpers", "workers", "load"};

struct task {
	int pid;
	enum side side;
	uint64_t ns, switches;
};

struct snapshot {
	struct task *tasks;
	size_t len, cap;
};

static void task_add(struct snapshot *s, int pid, enum side side, const char *path)
{
	struct task task = {.pid = pid, .side = side};
	unsigned long long ns, delay, switches;
	char line[128];

	/* One that has just ended has nothing to tell. */
	if (!line_read(path, line, sizeof(line)) ||
	    sscanf(line, "%llu %llu %llu", &ns, &delay, &switches) != 3)
		return;
	task.ns = ns;
	task.switches = switches;
	if (s->len == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 512;
		s->tasks = realloc(s->tasks, s->cap * sizeof(*s->tasks));
		CHECK(s->tasks);
	}
	s->tasks[s->len++] = task;
}

static void add_kthread(int pid, const char *name, void *arg)
{
	bool is_thread = !strncmp(name, "taio/", 5);
	char path[64];

	if (!is_thread && strncmp(name, "kworker/u", 9))
		return;
	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	task_add(arg, pid, is_thread ? THREADS : WORKERS, path);
}

static void add_process(struct snapshot *s, int pid, enum side side)
{
	char path[320];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		fail_at(HERE(), "process %d: %m", pid);
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)*entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, entry->d_name);
		task_add(s, atoi(entry->d_name), side, path);
	}
	closedir(dir);
}

/* kmod_bench is a process with one child, which does the work: both count. */
static void add_server(struct snapshot *s, int pid)
{
	char path[64], line[64];

	add_process(s, pid, SERVER);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	if (line_read(path, line, sizeof(line)) && atoi(line))
		add_process(s, atoi(line), SERVER);
}

static void snapshot_take(struct snapshot *s, int server, int load)
{
	add_server(s, server);
	add_process(s, load, LOAD);
	kthreads_each(add_kthread, s);
}

static const struct task *task_find(const struct snapshot *s, int pid)
{
	for (size_t i = 0; i < s->len; i++)
		if (s->tasks[i].pid == pid)
			return &s->tasks[i];
	return NULL;
}

static void costs_print(const struct snapshot *before, const struct snapshot *after, double seconds)
{
	uint64_t ns[SIDES] = {0}, switches[SIDES] = {0};

	for (size_t i = 0; i < after->len; i++) {
		const struct task *task = &after->tasks[i], *was = task_find(before, task->pid);

		ns[task->side] += task->ns - (was ? was->ns : 0);
		switches[task->side] += task->switches - (was ? was->switches : 0);
	}
	printf("{\"seconds\": %.6f", seconds);
	for (int side = 0; side < SIDES; side++)
		printf(", \"%s_s\": %.6f, \"%s_switches\": %ju", side_names[side], (double)ns[side] / 1e9,
		       side_names[side], (uintmax_t)switches[side]);
	printf("}\n");
}

static long fds_of(int pid)
{
	char path[64];
	long n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		fail_at(HERE(), "process %d: %m", pid);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void wait_for_connections(int load, long connections)
{
	int64_t until = now_ms() + CONNECT_LIMIT_MS;

	while (fds_of(load) < connections) {
		CHECK(now_ms() < until);
		pause_ms(5);
	}
}

int cmd_sample(int argc, char **argv)
{
	struct snapshot before = {0}, after = {0};
	uint64_t began, ended;
	int server, load;

	CHECK_EQ(argc, 7);
	server = (int)number_of(argv[1], "SERVER_PID");
	load = (int)number_of(argv[2], "LOAD_PID");
	wait_for_connections(load, number_of(argv[3], "CONNECTIONS"));
	pause_ms((unsigned int)number_of(argv[4], "SETTLE_MS"));
	helpers_pin((unsigned int)number_of(argv[6], "CPU"));
	/* From start to start: a task's two readings are as far apart as the first task's. */
	began = now_ns();
	snapshot_take(&before, server, load);
	pause_ms((unsigned int)number_of(argv[5], "WINDOW_MS"));
	ended = now_ns();
	snapshot_take(&after, server, load);
	costs_print(&before, &after, (double)(ended - began) / 1e9);
	return 0;
}
