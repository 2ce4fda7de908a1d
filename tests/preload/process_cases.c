/* SPDX-License-Identifier: MIT */
/* fork(2), vfork(2) and exec(3). */
#include "program.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int near_end;

static void child(void *arg)
{
	io_context_t ctx = ring_make(4);
	int *fds = arg;

	read_works(ctx, fds[0], fds[1], "child");
	SYS(close(fds[0]));
	SYS(close(fds[1]));
}

PROGRAM_CASE(a_child_of_fork_has_its_own)
{
	io_context_t ctx = ring_make(4);
	int fds[2];

	tcp_pair(fds, 0);
	read_works(ctx, fds[0], fds[1], "before");
	CHECK_EQ(child_reap(child_start(child, fds), 20000), 0);
	read_works(ctx, fds[0], fds[1], "after");
	SYS(close(fds[0]));
	peer_sees_end(fds[1]);
}

/* What the child closes is not closed in its parent, whose memory it has. */
PROGRAM_CASE(a_child_of_vfork_closes_for_itself)
{
	io_context_t ctx = ring_make(4);
	int fds[2], status;
	pid_t pid;

	tcp_pair(fds, 0);
	near_end = fds[0];
	read_works(ctx, fds[0], fds[1], "before");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	pid = vfork();
#pragma GCC diagnostic pop
	if (!pid) {
		close(near_end);
		dup2(STDERR_FILENO, near_end);
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	read_works(ctx, fds[0], fds[1], "after");
	SYS(close(fds[0]));
	peer_sees_end(fds[1]);
}

/* Of ours nothing is left but what is always opened when a program begins: the device, and its companion. */
PROGRAM_CASE(exec_leaves_no_proxy)
{
	io_context_t ctx = ring_make(4);
	char text[16] = "";
	int fds[2], pipes[2], status;
	pid_t pid;

	tcp_pair(fds, 0);
	read_works(ctx, fds[0], fds[1], "before");
	SYS(pipe2(pipes, O_CLOEXEC));
	pid = SYS(fork());
	if (!pid) {
		dup2(pipes[1], STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", "ls -l /proc/$$/fd | grep -c 'taio]'", NULL);
		_exit(127);
	}
	SYS(close(pipes[1]));
	CHECK(read(pipes[0], text, sizeof(text) - 1) > 0);
	CHECK_EQ(atoi(text), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	SYS(close(fds[0]));
	peer_sees_end(fds[1]);
}
