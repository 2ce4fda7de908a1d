/* SPDX-License-Identifier: MIT */
/*
 * Time, chance, children and failure reports. Used from any thread of a case and from its children.
 *
 * Policy TASK interrupts sleeping system calls of the submitter, as a signal does: everything here that
 * sleeps goes on until its condition or its time.
 */
#include "kmod.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STAGE_LIMIT_MS 30000

struct report *report;

static _Thread_local uint64_t random_state;
static uint64_t seed_given;
static _Atomic uint64_t random_streams;

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void fail_at(const struct place *place, const char *format, ...)
{
	size_t room = sizeof(report->failure);
	int error = errno, len;
	va_list args;

	if (atomic_flag_test_and_set(&report->failed)) {
		pause_ms(200); /* another's failure is being written */
		_exit(1);
	}
	len = snprintf(report->failure, room, "%s:%d: ", place ? base_name(place->file) : "start",
		       place ? place->line : 0);
	va_start(args, format);
	errno = error; /* for %m */
	vsnprintf(report->failure + len, room - (size_t)len, format, args);
	va_end(args);
	_exit(1);
}

void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->note, sizeof(report->note), format, args);
	va_end(args);
}

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

void pause_ms(unsigned int ms)
{
	int64_t until = now_ms() + ms;

	for (int64_t left; (left = until - now_ms()) > 0;) {
		struct timespec ts = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};

		nanosleep(&ts, NULL);
	}
}

void random_seed(uint64_t seed)
{
	seed_given = seed;
}

/* xorshift64*, a stream of its own for each thread. */
uint64_t random_below(uint64_t bound)
{
	uint64_t x = random_state;

	if (!x)
		x = (seed_given + atomic_fetch_add(&random_streams, 1) + 1) * 0x9e3779b97f4a7c15u | 1;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	random_state = x;
	return (x * 0x2545f4914f6cdd1du >> 16) % bound;
}

/* On one processor the races still run, by preemption. */
void pin_to_cpu(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

pid_t child_start(void (*run)(void *arg), void *arg)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run(arg);
	_exit(0);
}

bool child_ends(pid_t pid, int timeout_ms, int *status)
{
	int64_t until = now_ms() + timeout_ms;
	pid_t got;

	while ((got = waitpid(pid, status, WNOHANG)) == 0 && now_ms() < until)
		pause_ms(1);
	if (got < 0 && errno != EINTR)
		fail_at(THERE(), "waitpid(%d): %m", (int)pid);
	return got == pid;
}

int child_reap_(pid_t pid, int timeout_ms)
{
	const struct place *place = THERE();
	int status = 0;

	if (!child_ends(pid, timeout_ms, &status)) {
		stacks_print(pid);
		fail_at(place, "process %d has not ended within %d ms", (int)pid, timeout_ms);
	}
	return status;
}

void *shared_make(size_t nbytes)
{
	void *memory = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

void stage_await_(_Atomic int *stage, int value)
{
	int64_t until = now_ms() + STAGE_LIMIT_MS;

	while (atomic_load(stage) < value) {
		if (now_ms() > until)
			fail_at(THERE(), "stage %d is not reached from %d", value, atomic_load(stage));
		pause_ms(1);
	}
}

static void file_print(const char *path)
{
	char line[512];
	FILE *file = fopen(path, "re");

	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		printf("       %s%s", line, strchr(line, '\n') ? "" : "\n");
	fclose(file);
}

void stacks_print(pid_t pid)
{
	static const char *const files[] = {"comm", "wchan", "stack"};
	char path[320];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		printf("     task %s\n", entry->d_name);
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid, entry->d_name);
		file_print(path);
		for (unsigned int i = 0; i < ARRAY_LEN(files); i++) {
			snprintf(path, sizeof(path), "/proc/%d/task/%s/%s", (int)pid, entry->d_name,
				 files[i]);
			file_print(path);
		}
	}
	if (dir)
		closedir(dir);
	fflush(stdout);
}
