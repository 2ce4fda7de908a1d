/* SPDX-License-Identifier: MIT */
/* Users, and what they see of each other: how long their own operations take. */
#include "hostile.h"

#include "base/clock.h"
#include "observe.h"

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

/*
 * The machine that emulates this one has other work: by turns a round trip takes several times as long as at
 * others. So bob measures alone and beside an attack by turns, all of his trips so far count, and there are
 * further rounds while their medians are too far apart: what an attack does to him stays, what else does so
 * comes to both sides.
 */
enum { ROUNDS_MIN = 3, ROUNDS_MAX = 10, TRIPS = 150, MEDIAN_TIMES = 2, CANCEL_LIMIT_MS = 3000 };
enum side { ALONE, BESIDE, NSIDES };

/* Bob's trips, in memory that processes share. */
struct echo {
	unsigned int n[NSIDES]; /* trips of each policy */
	double us[NSIDES][TAIO_NPOLICIES][ROUNDS_MAX * TRIPS];
	enum side side;
};

struct stream {
	int fds[2], proxy;
};

static unsigned int npolicies(void)
{
	static unsigned int n;

	if (!n)
		n = has_workers() ? TAIO_NPOLICIES : TAIO_POLICY_WORKER;
	return n;
}

static void streams_make(struct stream streams[TAIO_NPOLICIES])
{
	for (unsigned int policy = 0; policy < npolicies(); policy++) {
		scratch_pipe(streams[policy].fds);
		streams[policy].proxy = wrap(streams[policy].fds[0], policy, 0);
	}
}

static double trip_us(struct ring *ring, const struct stream *stream)
{
	uint64_t begin = clock_ns();
	struct op op;
	char byte;

	read_start(ring, &op, stream->proxy, &byte, 1);
	CHECK_EQ(write(stream->fds[1], "x", 1), 1);
	CHECK_EQ(await(ring, &op), 1);
	return (double)(clock_ns() - begin) / NS_PER_US;
}

static void bob(void *arg)
{
	struct stream streams[TAIO_NPOLICIES];
	struct echo *echo = arg;
	unsigned int *n = &echo->n[echo->side];
	struct ring ring;

	become_member(BOB);
	ring_open(&ring, 1);
	streams_make(streams);
	for (unsigned int policy = 0; policy < npolicies(); policy++) /* helpers are made */
		trip_us(&ring, &streams[policy]);
	for (unsigned int i = 0; i < TRIPS; i++, (*n)++)
		for (unsigned int policy = 0; policy < npolicies(); policy++)
			echo->us[echo->side][policy][*n] = trip_us(&ring, &streams[policy]);
	ring_close(&ring);
}

static void echo_measure(struct echo *echo, enum side side)
{
	echo->side = side;
	CHECK_EQ(child_reap(child_start(bob, echo), 20000), 0);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

/* --- carol --- */

static void cancels(void *arg)
{
	enum { READS = 8 };
	struct stream streams[TAIO_NPOLICIES];
	unsigned int nops = npolicies() * READS;
	struct op ops[TAIO_NPOLICIES * READS];
	long *longest = arg;
	struct ring ring;
	char byte;

	become_member(CAROL);
	ring_open(&ring, nops);
	streams_make(streams);
	for (unsigned int i = 0; i < nops; i++)
		read_start(&ring, &ops[i], streams[i % npolicies()].proxy, &byte, 1);
	for (unsigned int i = 0; i < nops / 2; i++) {
		int64_t begin = now_ms();

		CHECK_EQ(op_cancel(&ring, &ops[i]), 0);
		CHECK_EQ(await(&ring, &ops[i]), -ECANCELED);
		if (now_ms() - begin > *longest)
			*longest = now_ms() - begin;
	}
}

/* --- the measure --- */

static const char *const policy_names[] = {TAIO_POLICY_NAMES};

struct medians {
	double us[TAIO_NPOLICIES][NSIDES];
};

static void medians_get(struct echo *echo, struct medians *medians)
{
	for (unsigned int policy = 0; policy < npolicies(); policy++)
		for (unsigned int side = 0; side < NSIDES; side++)
			medians->us[policy][side] = median(echo->us[side][policy], echo->n[side]);
}

/* The policy by which bob is too slow beside the attack, or npolicies(). */
static unsigned int slow_policy(const struct medians *medians)
{
	unsigned int policy = 0;

	while (policy < npolicies() &&
	       medians->us[policy][BESIDE] <= MEDIAN_TIMES * medians->us[policy][ALONE])
		policy++;
	return policy;
}

static void medians_note(const struct medians *medians, unsigned int rounds, long longest_cancel_ms)
{
	char text[120] = "";
	int len = 0;

	for (unsigned int policy = 0; policy < npolicies(); policy++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s %.0f/%.0f us, ",
				policy_names[policy], medians->us[policy][ALONE],
				medians->us[policy][BESIDE]);
	note("bob alone/beside: %sin %u rounds; carol's longest cancel: %ld ms", text, rounds,
	     longest_cancel_ms);
}

void hurts_nobody_(void (*begin)(void *arg), void (*end)(void *arg), void *arg)
{
	struct echo *echo = shared_make(sizeof(*echo));
	long *longest = shared_make(sizeof(*longest));
	unsigned int rounds = 0, slow = 0;
	struct medians medians;

	while (rounds < ROUNDS_MIN || (slow < npolicies() && rounds < ROUNDS_MAX)) {
		echo_measure(echo, ALONE);
		begin(arg);
		echo_measure(echo, BESIDE);
		CHECK_EQ(child_reap(child_start(cancels, longest), 20000), 0);
		end(arg);
		rounds++;
		medians_get(echo, &medians);
		slow = slow_policy(&medians);
	}
	medians_note(&medians, rounds, *longest);
	if (slow < npolicies())
		fail_at(HERE(), "bob's trips by %s take more than %d times as long beside the attack",
			policy_names[slow], MEDIAN_TIMES);
	CHECK(*longest <= CANCEL_LIMIT_MS);
}

/* --- states of operations and tasks --- */

unsigned int ops_running(void)
{
	char *text = file_text("/sys/kernel/debug/taio/inflight");
	unsigned int n = 0;

	for (const char *at = text; (at = strstr(at, " running ")); at++)
		n++;
	free(text);
	return n;
}

void until_running_(unsigned int n)
{
	int64_t until = now_ms() + 20000;
	unsigned int now;

	while ((now = ops_running()) < n) {
		if (now_ms() > until)
			fail_at(THERE(), "%u operations run, not %u", now, n);
		pause_ms(5);
	}
}

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

static char state_of(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	return state_at(path);
}

void until_in_d_(pid_t tid)
{
	int64_t until = now_ms() + 20000;

	while (state_of(tid) != 'D') {
		if (now_ms() > until)
			fail_at(THERE(), "task %d is not in state D", (int)tid);
		pause_ms(1);
	}
}

bool is_over(pid_t pid, int limit_ms)
{
	int64_t until = now_ms() + limit_ms;
	char state;

	while ((state = state_of(pid)) && state != 'Z' && state != 'X') {
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
