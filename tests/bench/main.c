/* SPDX-License-Identifier: MIT */
/* kmod_bench: the table of commands. Each runs in a child: the harness reports failures in shared memory. */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

const struct variant variants[VARIANTS] = {
	{"task", TAIO_POLICY_TASK, TAIO_ATTACH_INLINE},	    {"task-noinline", TAIO_POLICY_TASK, 0},
	{"park", TAIO_POLICY_PARK, TAIO_ATTACH_INLINE},	    {"park-noinline", TAIO_POLICY_PARK, 0},
	{"block", TAIO_POLICY_BLOCK, TAIO_ATTACH_INLINE},   {"block-noinline", TAIO_POLICY_BLOCK, 0},
	{"worker", TAIO_POLICY_WORKER, TAIO_ATTACH_INLINE}, {"worker-noinline", TAIO_POLICY_WORKER, 0},
};

const char *const policy_names[TAIO_NPOLICIES] = {
	[TAIO_POLICY_BLOCK] = "block",
	[TAIO_POLICY_PARK] = "park",
	[TAIO_POLICY_TASK] = "task",
	[TAIO_POLICY_WORKER] = "worker",
};

bool policy_is_there(enum taio_policy_id policy)
{
	return taio_attach(-1, policy, 0) != -EOPNOTSUPP;
}

static const struct {
	const char *name;
	command_fn *run;
	const char *usage;
	bool is_server; /* its process is looked at: no child, and no words for a failure */
} commands[] = {
	{.name = "serve",
	 .run = cmd_serve,
	 .usage = "PORT_FILE: echoes, a thread for each connection that reads and writes blocking",
	 .is_server = true},
	{.name = "wait", .run = cmd_wait, .usage = "PID CONNECTIONS: until the process has as many sockets"},
	{.name = "sample",
	 .run = cmd_sample,
	 .usage = "SERVER_PID LOAD_PID WINDOW_MS CPU: what both cost, the helpers on that processor"},
	{.name = "profile",
	 .run = cmd_profile,
	 .usage = "CPU WINDOW_MS: where the kernel spends a processor's time"},
	{.name = "insns",
	 .run = cmd_insns,
	 .usage = "WINDOW_MS CPU: a window of insns.c, the helpers on that processor"},
	{.name = "start",
	 .run = cmd_start,
	 .usage = "ROUNDS: a read that has its helper started, and one that finds it idle"},
	{.name = "floor",
	 .run = cmd_floor,
	 .usage = "BATCHES: an echo that never waits, by calls, by stock io_submit(2) and by proxies"},
	{.name = "submit", .run = cmd_submit, .usage = "ROUNDS: time inside io_submit(2)"},
	{.name = "cancel", .run = cmd_cancel, .usage = "ROUNDS: time from io_cancel(2) to the event"},
	{.name = "state", .run = cmd_state, .usage = "PAIRS ROUNDS: cost of each bit of the state mask"},
	{.name = "herd",
	 .run = cmd_herd,
	 .usage = "READS ROUNDS: time inside sendto(2) with one read that waits, and with as many"},
};

static int usage(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(stderr, "kmod_bench %s %s\n", commands[i].name, commands[i].usage);
	return 2;
}

static int run(command_fn *command, int argc, char **argv)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		exit(command(argc, argv));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("kmod_bench");
		return 1;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	fprintf(stderr, "kmod_bench %s: %s (status %#x)\n", argv[0], report->failure, status);
	return 1;
}

int main(int argc, char **argv)
{
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED) {
		perror("kmod_bench");
		return 1;
	}
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return (commands[i].is_server ? commands[i].run(argc - 1, argv + 1)
						      : run(commands[i].run, argc - 1, argv + 1));
	return usage();
}
