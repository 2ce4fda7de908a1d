/* SPDX-License-Identifier: MIT */
/* What changes the caller: children, threads, exec, the end, signals, credentials, limits, namespaces. */
#include "fuzz.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FORKS_MAX 6

CALL(fork, 2)
{
	uint64_t stream = rng_next(&a->rng);

	if (atomic_fetch_add(&shared->forks, 1) >= FORKS_MAX)
		return;
	if (!fork())
		program_child(a, stream);
}

CALL(thread, 2)
{
	program_thread(a);
}

/* In a child: the parent's operations stay, the child's end with its memory. */
CALL(fork_exec, 1)
{
	uint64_t seed = rng_next(&a->rng);

	if (atomic_fetch_add(&shared->forks, 1) >= FORKS_MAX)
		return;
	if (!fork())
		program_exec(seed);
}

CALL(exec, 1)
{
	uint64_t seed = rng_next(&a->rng);

	if (a->is_mortal && rng_percent(&a->rng, 30))
		program_exec(seed);
}

/* The thread alone, at once: its operations stay in flight. */
CALL(exit_thread, 1)
{
	if (rng_percent(&a->rng, 40))
		a->is_over = true;
}

CALL(exit, 1)
{
	if (a->is_mortal && rng_percent(&a->rng, 30))
		_exit(0);
}

CALL(kill_self, 1)
{
	if (a->is_mortal && rng_percent(&a->rng, 30))
		kill(getpid(), SIGKILL);
}

/* To this process, or to all of the program's. */
CALL(signal, 4)
{
	kill(rng_percent(&a->rng, 70) ? getpid() : 0, SIGUSR1);
}

/* The supervisor has it go on. */
CALL(stop, 1)
{
	kill(rng_percent(&a->rng, 70) ? getpid() : 0, SIGSTOP);
}

CALL(yield, 4)
{
	sched_yield();
}

CALL(sleep, 3)
{
	struct timespec ts = {.tv_nsec = 1000 * (long)rng_below(&a->rng, 3000)};

	nanosleep(&ts, NULL);
}

CALL(priority, 1)
{
	setpriority(PRIO_PROCESS, 0, (int)rng_below(&a->rng, 20));
	syscall(SYS_ioprio_set, 1, 0, (rng_below(&a->rng, 4) << 13) | rng_below(&a->rng, 8));
}

CALL(affinity, 1)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(rng_below(&a->rng, 2), &set);
	if (rng_percent(&a->rng, 50))
		CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* This thread alone, to another user and perhaps back. */
CALL(user, 1)
{
	if (rng_percent(&a->rng, 50))
		syscall(SYS_setresuid, -1, shared->settings.alice, 0);
	else
		syscall(SYS_setresuid, -1, 0, 0);
	if (a->is_single && rng_percent(&a->rng, 10))
		syscall(SYS_setresuid, shared->settings.alice, shared->settings.alice,
			shared->settings.alice);
	if (rng_percent(&a->rng, 20))
		prctl(PR_SET_DUMPABLE, rng_below(&a->rng, 2));
}

CALL(limit, 1)
{
	static const rlim_t sizes[] = {0, 4096, 100000, RLIM_INFINITY}, files[] = {10, 60, 1024};
	struct rlimit limit = {.rlim_max = RLIM_INFINITY};

	limit.rlim_cur = rng_pick(&a->rng, sizes);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (!rng_percent(&a->rng, 30))
		return;
	limit.rlim_cur = rng_pick(&a->rng, files);
	limit.rlim_max = 1024;
	setrlimit(RLIMIT_NOFILE, &limit);
}

CALL(unshare, 1)
{
	static const int what[] = {CLONE_FILES,	 CLONE_FS,    CLONE_SYSVSEM, CLONE_NEWUTS,
				   CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWUSER | CLONE_FILES,
				   CLONE_NEWPID};

	unshare(rng_pick(&a->rng, what));
}
