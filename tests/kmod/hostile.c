/* SPDX-License-Identifier: MIT */
/* Users, and what they see of each other: how long their own operations take. */
#include "hostile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void become_member(uid_t uid)
{
	const struct group *group = getgrnam("taio");
	gid_t gid;

	if (!group)
		fail_at(THERE(), "there is no group taio");
	gid = group->gr_gid;
	SYS(setgroups(1, &gid));
	SYS(setresgid(uid, uid, uid));
	SYS(setresuid(uid, uid, uid));
	SYS(prctl(PR_SET_DUMPABLE, 1));
	SYS(prctl(PR_SET_PDEATHSIG, SIGKILL)); /* forgotten with the user id */
}

void put_text(const char *path, const char *format, ...)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), len;
	char text[256];
	va_list args;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		fail_at(THERE(), "%s: %m", path);
	close(fd);
}

void enter_namespaces(int flags)
{
	uid_t uid = getuid();
	gid_t gid = getgid();

	SYS(unshare(CLONE_NEWUSER | flags));
	put_text("/proc/self/setgroups", "deny");
	put_text("/proc/self/uid_map", "0 %u 1", uid);
	put_text("/proc/self/gid_map", "0 %u 1", gid);
}

bool is_in_submitter(const struct scene *s)
{
	return s->policy == TAIO_POLICY_TASK || s->flags & TAIO_ATTACH_INLINE;
}

/* --- bob --- */

enum { CHUNKS = 7, TRIPS = 4 };

struct stream {
	int fds[2], proxy;
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void streams_make(struct stream streams[TAIO_NPOLICIES])
{
	for (unsigned int policy = 0; policy < TAIO_NPOLICIES; policy++) {
		scratch_pipe(streams[policy].fds);
		streams[policy].proxy = wrap(streams[policy].fds[0], policy, 0);
	}
}

static void round_trips(struct ring *ring, const struct stream streams[TAIO_NPOLICIES])
{
	struct op ops[TAIO_NPOLICIES];
	char bytes[TAIO_NPOLICIES];

	for (unsigned int i = 0; i < TRIPS * TAIO_NPOLICIES; i++) {
		unsigned int policy = i % TAIO_NPOLICIES;

		read_start(ring, &ops[policy], streams[policy].proxy, &bytes[policy], 1);
		CHECK_EQ(write(streams[policy].fds[1], "x", 1), 1);
		CHECK_EQ(await(ring, &ops[policy]), 1);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void echo(void *arg)
{
	struct stream streams[TAIO_NPOLICIES];
	double *rate = arg, rates[CHUNKS];
	struct ring ring;

	become_member(BOB);
	ring_open(&ring, TAIO_NPOLICIES);
	streams_make(streams);
	round_trips(&ring, streams); /* helpers are made */
	for (unsigned int i = 0; i < CHUNKS; i++) {
		double begin = now_s();

		round_trips(&ring, streams);
		rates[i] = TRIPS * TAIO_NPOLICIES / (now_s() - begin);
	}
	qsort(rates, CHUNKS, sizeof(*rates), compare);
	*rate = rates[CHUNKS / 2];
	ring_close(&ring);
}

double echo_rate(void)
{
	static double *rate;

	if (!rate)
		rate = shared_make(sizeof(*rate));
	CHECK_EQ(child_reap(child_start(echo, rate), 20000), 0);
	return *rate;
}

/* --- carol --- */

static void cancels(void *arg)
{
	enum { READS = 8 };
	struct stream streams[TAIO_NPOLICIES];
	struct op ops[TAIO_NPOLICIES * READS];
	long *longest = arg;
	struct ring ring;
	char byte;

	become_member(CAROL);
	ring_open(&ring, ARRAY_LEN(ops));
	streams_make(streams);
	for (unsigned int i = 0; i < ARRAY_LEN(ops); i++)
		read_start(&ring, &ops[i], streams[i % TAIO_NPOLICIES].proxy, &byte, 1);
	*longest = 0;
	for (unsigned int i = 0; i < ARRAY_LEN(ops) / 2; i++) {
		int64_t begin = now_ms();

		CHECK_EQ(op_cancel(&ring, &ops[i]), 0);
		CHECK_EQ(await(&ring, &ops[i]), -ECANCELED);
		if (now_ms() - begin > *longest)
			*longest = now_ms() - begin;
	}
}

long cancel_ms(void)
{
	static long *longest;

	if (!longest)
		longest = shared_make(sizeof(*longest));
	CHECK_EQ(child_reap(child_start(cancels, longest), 20000), 0);
	return *longest;
}

/* --- states of tasks --- */

/* The letter in /proc/.../stat; 0: no such task. */
static char state_at(const char *path)
{
	char text[512], *end;
	FILE *file = fopen(path, "re");
	size_t n;

	if (!file)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : 0;
}

bool is_over(pid_t pid, int limit_ms)
{
	int64_t until = now_ms() + limit_ms;
	char path[64], state;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while ((state = state_at(path)) && state != 'Z' && state != 'X') {
		if (now_ms() > until)
			return false;
		pause_ms(1);
	}
	return true;
}

/* A process of which a task is in state D, or 0. */
static pid_t in_d(void)
{
	DIR *processes = opendir("/proc"), *tasks;
	struct dirent *process, *task;
	pid_t found = 0;
	char path[600];

	CHECK(processes);
	while (!found && (process = readdir(processes))) {
		snprintf(path, sizeof(path), "/proc/%s/task", process->d_name);
		if (!isdigit(*process->d_name) || !(tasks = opendir(path)))
			continue;
		while (!found && (task = readdir(tasks))) {
			snprintf(path, sizeof(path), "/proc/%s/task/%s/stat", process->d_name, task->d_name);
			if (isdigit(*task->d_name) && state_at(path) == 'D')
				found = atoi(process->d_name);
		}
		closedir(tasks);
	}
	closedir(processes);
	return found;
}

void no_task_in_d_(int limit_ms)
{
	int64_t until = now_ms() + limit_ms;
	pid_t pid;

	while ((pid = in_d())) {
		if (now_ms() > until) {
			stacks_print(pid);
			fail_at(THERE(), "process %d sleeps in state D", (int)pid);
		}
		pause_ms(5);
	}
}
