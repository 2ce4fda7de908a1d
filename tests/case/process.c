/* SPDX-License-Identifier: MIT */
/* Time, children and threads, for the runner as for cases. Used from any thread. */
#include "tests/case/process.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int64_t now_ms(void)
{
	return (int64_t)clock_ms();
}

void pause_ms(unsigned int ms)
{
	int64_t until = now_ms() + ms;

	for (int64_t left; (left = until - now_ms()) > 0;) {
		struct timespec ts = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};

		nanosleep(&ts, NULL);
	}
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
	static const char *const files[] = {"stat", "comm", "wchan", "stack"};
	char path[320];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		printf("     task %s\n", entry->d_name);
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

void *shared_make(size_t nbytes)
{
	void *memory = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

unsigned int entries_of(const char *path)
{
	unsigned int count = 0;
	DIR *dir = opendir(path);

	CHECK(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

unsigned int threads_called(const char *name)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int count = 0;
	struct dirent *entry;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		char path[320], comm[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (!file) /* it has ended */
			continue;
		if (fgets(comm, sizeof(comm), file) && !strncmp(comm, name, strlen(name)) &&
		    comm[strlen(name)] == '\n')
			count++;
		fclose(file);
	}
	closedir(dir);
	return count;
}
