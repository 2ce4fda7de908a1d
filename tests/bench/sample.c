/* SPDX-License-Identifier: MIT */
/*
 * What a server and the kernel's helpers cost in a window of time, with the load running before and after it:
 * processor time of every task and the times it was switched to, from schedstat, and the bytes that the load
 * has written, which are its requests. The threads that policy worker adds to the server are helpers. A task
 * that starts inside of the window counts from its start; none may end inside.
 */
#include "bench.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For the load to begin. */
#define CONNECT_LIMIT_MS 60000

enum side { SERVER, THREADS, WORKERS, LOAD, SIDES };

static const char *const side_names[SIDES] = {"server", "helpers", "workers", "load"};

struct task {
	int pid;
	enum side side;
	uint64_t ns, switches;
};

struct snapshot {
	uint64_t at_ns, written; /* bytes, by the load */
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

/* A thread that the module has added to a process. */
static bool is_worker(int pid, const char *tid)
{
	char path[320], name[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", pid, tid);
	return line_read(path, name, sizeof(name)) && !strncmp(name, "taio-worker", 11);
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
		task_add(s, atoi(entry->d_name), is_worker(pid, entry->d_name) ? THREADS : side, path);
	}
	closedir(dir);
}

static uint64_t written_by(int pid)
{
	unsigned long long nbytes;
	const char *at = NULL;
	char path[64], text[512];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/io", pid);
	file = fopen(path, "re");
	if (!file)
		fail_at(HERE(), "%s: %m", path);
	while (!at && fgets(text, sizeof(text), file))
		at = strstr(text, "wchar: ");
	fclose(file);
	CHECK(at && sscanf(at, "wchar: %llu", &nbytes) == 1);
	return nbytes;
}

/* A task's two readings are as far apart as the two times: each takes its turn as late as before. */
static void snapshot_take(struct snapshot *s, int server, int load)
{
	s->at_ns = now_ns();
	s->written = written_by(load);
	add_process(s, server, SERVER);
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

static void costs_print(const struct snapshot *before, const struct snapshot *after)
{
	uint64_t ns[SIDES] = {0}, switches[SIDES] = {0};

	for (size_t i = 0; i < after->len; i++) {
		const struct task *task = &after->tasks[i], *was = task_find(before, task->pid);

		ns[task->side] += task->ns - (was ? was->ns : 0);
		switches[task->side] += task->switches - (was ? was->switches : 0);
	}
	printf("{\"seconds\": %.6f, \"written\": %ju", (double)(after->at_ns - before->at_ns) / 1e9,
	       (uintmax_t)(after->written - before->written));
	for (int side = 0; side < SIDES; side++)
		printf(", \"%s_s\": %.6f, \"%s_switches\": %ju", side_names[side], (double)ns[side] / 1e9,
		       side_names[side], (uintmax_t)switches[side]);
	printf("}\n");
}

static long sockets_of(int pid)
{
	char path[320], to[16];
	struct dirent *entry;
	long n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		fail_at(HERE(), "process %d: %m", pid);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, entry->d_name);
		n += readlink(path, to, sizeof(to)) > 7 && !memcmp(to, "socket:", 7);
	}
	closedir(dir);
	return n;
}

int cmd_wait(int argc, char **argv)
{
	int64_t until = now_ms() + CONNECT_LIMIT_MS;
	long connections;
	int load;

	CHECK_EQ(argc, 3);
	load = (int)number_of(argv[1], "LOAD_PID");
	connections = number_of(argv[2], "CONNECTIONS");
	while (sockets_of(load) < connections) {
		CHECK(now_ms() < until);
		pause_ms(5);
	}
	return 0;
}

int cmd_sample(int argc, char **argv)
{
	struct snapshot before = {0}, after = {0};
	int server, load;

	CHECK_EQ(argc, 5);
	server = (int)number_of(argv[1], "SERVER_PID");
	load = (int)number_of(argv[2], "LOAD_PID");
	helpers_pin((unsigned int)number_of(argv[4], "CPU"));
	snapshot_take(&before, server, load);
	pause_ms((unsigned int)number_of(argv[3], "WINDOW_MS"));
	snapshot_take(&after, server, load);
	costs_print(&before, &after);
	return 0;
}
