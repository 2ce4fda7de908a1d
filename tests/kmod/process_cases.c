/* SPDX-License-Identifier: MIT */
/*
 * Operations and the processes around them: an operation belongs to the address space that submitted it, a
 * proxy to whoever has a descriptor of it. Bytes that come after the end of a submitter are for whoever reads
 * next.
 */
#include "kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NBYTES	24
#define REAP_MS 20000

struct shared {
	_Atomic int stage, orphanable;
	struct scene *s;
	struct link *link;
	int sock[2];
	pid_t pid;
};

static void next_start(struct scene *s, struct op *op, char *buf)
{
	read_start(&s->ring, op, s->links[0]->afd_in, buf, NBYTES);
	stay_quiet(&s->ring);
}

/* The next bytes of the stream come, and are what the operation gives. */
static void next_finish(struct scene *s, struct op *op, char *buf, uint64_t offset)
{
	char bytes[NBYTES];

	pattern_fill(bytes, NBYTES, offset, 7);
	peer_write(s->links[0], bytes, NBYTES);
	CHECK_EQ(await(&s->ring, op), NBYTES);
	pattern_check(buf, NBYTES, offset, 7);
}

static void child_exits(void *arg)
{
	struct scene *s = arg;

	link_detach(s->links[0]);
	link_destroy(s->links[0]);
}

static void child_execs(void *arg)
{
	execl("/bin/true", "true", NULL);
	fail_at(HERE(), "/bin/true: %m");
}

static void child_ends_nothing(struct scene *s, void (*child)(void *arg))
{
	char buf[NBYTES];
	struct op op;

	scene_open(s, 1);
	for (unsigned int round = 0; round < 4; round++) {
		next_start(s, &op, buf);
		CHECK_EQ(child_reap(child_start(child, s), REAP_MS), 0);
		stay_quiet(&s->ring);
		next_finish(s, &op, buf, round * NBYTES);
	}
}

/* fork(2) carries the descriptors over, and nothing that is in flight. */
TEST_CASE(child_that_exits_ends_nothing, ON(STREAMS))
{
	child_ends_nothing(s, child_exits);
}

TEST_CASE(child_that_execs_ends_nothing, ON(STREAMS))
{
	child_ends_nothing(s, child_execs);
}

/* A ring of its own: what the parent had is the parent's. */
static void child_reads(void *arg)
{
	struct shared *shared = arg;
	struct scene *s = shared->s;
	char buf[NBYTES];
	struct op op;

	s->ring = (struct ring){0};
	scene_ring(s, 1);
	stage_await(&shared->stage, 1);
	next_start(s, &op, buf);
	for (unsigned int round = 0; round < 3; round++) {
		next_finish(s, &op, buf, round * NBYTES);
		next_start(s, &op, buf);
	}
	CHECK_EQ(op_cancel(&s->ring, &op), 0);
	CHECK_EQ(await(&s->ring, &op), -ECANCELED);
}

static void child_reads_orphaned(void *arg)
{
	struct shared *shared = arg;

	prctl(PR_SET_PDEATHSIG, 0);
	atomic_store(&shared->orphanable, 1);
	child_reads(arg);
}

/* Three reads in flight, none of which may take a byte once this is dead. Its child stays. */
static void parent_of_reader(void *arg)
{
	struct shared *shared = arg;
	struct scene *s = shared->s;
	struct op ops[3];
	char bufs[3][NBYTES];

	scene_ring(s, 3);
	for (unsigned int i = 0; i < 3; i++)
		next_start(s, &ops[i], bufs[i]);
	shared->pid = child_start(child_reads_orphaned, shared);
	stage_await(&shared->orphanable, 1);
	raise(SIGKILL);
}

TEST_CASE(child_goes_on_after_its_parent, ON(STREAMS))
{
	struct shared *shared = shared_make(sizeof(*shared));

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
	shared->s = s;
	scene_link(s);
	CHECK_EQ(child_reap(child_start(parent_of_reader, shared), REAP_MS), SIGKILL);
	atomic_store(&shared->stage, 1);
	CHECK_EQ(child_reap(shared->pid, REAP_MS), 0);
}

static void execs_with_ops(void *arg)
{
	struct scene *s = arg;
	char bufs[3][NBYTES];
	struct op ops[3];

	scene_ring(s, 3);
	for (unsigned int i = 0; i < 3; i++)
		next_start(s, &ops[i], bufs[i]);
	child_execs(NULL);
}

/* exec(2) is the end of the address space, and so of what was submitted from it. */
TEST_CASE(exec_ends_ops_and_keeps_the_bytes, ON(STREAMS))
{
	char bytes[NBYTES];

	scene_link(s);
	for (unsigned int round = 0; round < 4; round++) {
		CHECK_EQ(child_reap(child_start(execs_with_ops, s), REAP_MS), 0);
		pattern_fill(bytes, NBYTES, round * NBYTES, 8);
		peer_write(s->links[0], bytes, NBYTES);
		fd_read(s->links[0]->in, bytes, NBYTES);
		pattern_check(bytes, NBYTES, round * NBYTES, 8);
	}
}

static void *thread_submits(void *arg)
{
	struct shared *shared = arg;
	char bufs[3][NBYTES];
	struct op ops[3];

	for (unsigned int i = 0; i < 3; i++)
		next_start(shared->s, &ops[i], bufs[i]);
	atomic_fetch_add(&shared->stage, 1);
	for (;;)
		pause();
	return NULL;
}

static void *thread_execs(void *arg)
{
	struct shared *shared = arg;

	stage_await(&shared->stage, 2);
	child_execs(NULL);
	return NULL;
}

/* The leader and one more thread have operations in flight; a third one ends them both by its exec(2). */
static void exec_of_thread(void *arg)
{
	struct shared *shared = arg;
	pthread_t thread;

	scene_ring(shared->s, 6);
	CHECK_EQ(pthread_create(&thread, NULL, thread_submits, shared), 0);
	stage_await(&shared->stage, 1);
	CHECK_EQ(pthread_create(&thread, NULL, thread_execs, shared), 0);
	thread_submits(shared);
}

TEST_CASE(exec_of_a_second_thread, ON(STREAMS))
{
	struct shared *shared = shared_make(sizeof(*shared));
	char bytes[NBYTES];

	shared->s = s;
	scene_link(s);
	for (unsigned int round = 0; round < 4; round++) {
		atomic_store(&shared->stage, 0);
		CHECK_EQ(child_reap(child_start(exec_of_thread, shared), REAP_MS), 0);
		pattern_fill(bytes, NBYTES, round * NBYTES, 9);
		peer_write(s->links[0], bytes, NBYTES);
		fd_read(s->links[0]->in, bytes, NBYTES);
		pattern_check(bytes, NBYTES, round * NBYTES, 9);
	}
}

TEST_CASE(exec_that_fails_ends_nothing, ON(STREAMS))
{
	char buf[NBYTES];
	struct op op;

	scene_open(s, 1);
	next_start(s, &op, buf);
	CHECK_EQ(execl("/nowhere/nothing", "nothing", NULL), -1);
	CHECK_EQ(execl("/proc/self/mem", "mem", NULL), -1);
	stay_quiet(&s->ring);
	next_finish(s, &op, buf, 0);
}

/* Reads through the proxy that it has kept, in place of the program that had reads in flight there. */
static void execs_reader(void *arg)
{
	struct shared *shared = arg;
	struct scene *s = shared->s;
	char bufs[3][NBYTES];
	struct op ops[3];

	scene_ring(s, 3);
	for (unsigned int i = 0; i < 3; i++)
		next_start(s, &ops[i], bufs[i]);
	SYS(dup2(s->links[0]->afd_in, STDIN_FILENO));
	SYS(dup2(shared->sock[1], STDOUT_FILENO));
	execl("/bin/sh", "sh", "-c", "echo begun; exec head -c 24", NULL);
	fail_at(HERE(), "/bin/sh: %m");
}

TEST_CASE(proxy_outlives_exec, ON(STREAMS))
{
	struct shared *shared = shared_make(sizeof(*shared));
	char bytes[NBYTES];
	pid_t pid;

	shared->s = s;
	scene_link(s);
	SYS(pipe2(shared->sock, O_CLOEXEC));
	pid = child_start(execs_reader, shared);
	/*
	 * Not before the exec(2) is over: until then the reads may take the bytes. Its new name comes too
	 * early: from Linux 7 on the old address space goes after that.
	 */
	CHECK(is_readable(shared->sock[0], REAP_MS));
	fd_read(shared->sock[0], bytes, strlen("begun\n"));
	pattern_fill(bytes, NBYTES, 0, 10);
	peer_write(s->links[0], bytes, NBYTES);
	CHECK(is_readable(shared->sock[0], REAP_MS));
	fd_read(shared->sock[0], bytes, NBYTES);
	pattern_check(bytes, NBYTES, 0, 10);
	CHECK_EQ(child_reap(pid, REAP_MS), 0);
	close(shared->sock[0]);
	close(shared->sock[1]);
}

/* Was forked before there was a link: it has nothing but what comes over the socket. */
static void receiver(void *arg)
{
	struct shared *shared = arg;
	struct scene *s = shared->s;
	int proxy = fd_receive(shared->sock[1]);
	char bufs[2][NBYTES];
	struct op ops[2];

	scene_ring(s, 2);
	for (unsigned int round = 0; round < 3; round++) {
		read_start(&s->ring, &ops[0], proxy, bufs[0], NBYTES);
		stay_quiet(&s->ring);
		atomic_store(&shared->stage, (int)round + 1);
		CHECK_EQ(await(&s->ring, &ops[0]), NBYTES);
		pattern_check(bufs[0], NBYTES, round * NBYTES, 11);
	}
	read_start(&s->ring, &ops[0], proxy, bufs[0], NBYTES);
	CHECK_EQ(op_cancel(&s->ring, &ops[0]), 0);
	CHECK_EQ(await(&s->ring, &ops[0]), -ECANCELED);
	/* The last ones it leaves in flight. */
	for (unsigned int i = 0; i < 2; i++)
		read_start(&s->ring, &ops[i], proxy, bufs[i], NBYTES);
}

static void pattern_send(struct link *link, uint64_t offset, uint64_t seed)
{
	char bytes[NBYTES];

	pattern_fill(bytes, NBYTES, offset, seed);
	peer_write(link, bytes, NBYTES);
}

TEST_CASE(proxy_passed_to_another_process, ON(STREAMS))
{
	struct shared *shared = shared_make(sizeof(*shared));
	struct link *link;
	char bytes[NBYTES];
	pid_t pid;

	shared->s = s;
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, shared->sock));
	pid = child_start(receiver, shared);
	link = scene_link(s);
	fd_send(shared->sock[0], link->afd_in);
	/* With and without descriptors of its own. */
	for (unsigned int round = 0; round < 3; round++) {
		stage_await(&shared->stage, (int)round + 1);
		if (round == 1)
			link_detach(link);
		pattern_send(link, round * NBYTES, 11);
	}
	CHECK_EQ(child_reap(pid, REAP_MS), 0);
	pattern_send(link, 3 * NBYTES, 11);
	fd_read(link->in, bytes, NBYTES);
	pattern_check(bytes, NBYTES, 3 * NBYTES, 11);
	close(shared->sock[0]);
	close(shared->sock[1]);
}

static void attacher(void *arg)
{
	struct shared *shared = arg;

	link_attach(shared->s, shared->s->links[0]);
	fd_send(shared->sock[1], shared->s->links[0]->afd_in);
}

TEST_CASE(proxy_outlives_its_attacher, ON(STREAMS))
{
	struct shared *shared = shared_make(sizeof(*shared));
	char buf[NBYTES];
	struct op op;

	shared->s = s;
	scene_open(s, 1);
	link_detach(s->links[0]);
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, shared->sock));
	CHECK_EQ(child_reap(child_start(attacher, shared), REAP_MS), 0);
	s->links[0]->afd_in = fd_receive(shared->sock[0]);
	s->links[0]->afd_out = -1;
	for (unsigned int round = 0; round < 3; round++) {
		next_start(s, &op, buf);
		next_finish(s, &op, buf, round * NBYTES);
	}
	close(shared->sock[0]);
	close(shared->sock[1]);
}
