/* SPDX-License-Identifier: MIT */
/*
 * Policy WORKER: who carries operations out is a thread of the submitter's process. What it is, when it ends,
 * and what happens without one. What every policy has to do is in the other cases.
 */
#include "observe.h"
#include "semantics.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKER	 "taio-worker"
#define NOBODY	 1000
#define LIMIT_MS 10000
#define NEVER_MS 1000000
#define NBYTES	 16

/* linux/ioprio.h */
#define IOPRIO_WHO_PROCESS  1
#define IOPRIO(class, data) ((class) << 13 | (data))
#define IOPRIO_BE	    2

static void until_workers(unsigned int n)
{
	int64_t until = now_ms() + LIMIT_MS;

	while (threads_called(WORKER) != n && now_ms() < until)
		pause_ms(1);
	CHECK_EQ(threads_called(WORKER), n);
}

static void until_counter(const char *name, uint64_t value)
{
	int64_t until = now_ms() + LIMIT_MS;

	while (counter_get(name) < value && now_ms() < until)
		pause_ms(1);
	CHECK(counter_get(name) >= value);
}

/* The one worker of this process; 0: none. */
static pid_t worker_find(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	pid_t tid = 0;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		char path[300], *comm;

		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		comm = file_text(path);
		if (!strcmp(comm, WORKER "\n"))
			tid = atoi(entry->d_name);
		free(comm);
	}
	closedir(dir);
	return tid;
}

static void check_file_same(pid_t tid, const char *name)
{
	char path[300], *ours, *its;

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
	its = file_text(path);
	snprintf(path, sizeof(path), "/proc/self/task/%ld/%s", syscall(SYS_gettid), name);
	ours = file_text(path);
	CHECK(!strcmp(its, ours));
	free(its);
	free(ours);
}

static void check_like_us(pid_t tid)
{
	CHECK(tid);
	check_file_same(tid, "cgroup");
	check_file_same(tid, "limits");
	CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)tid), getpriority(PRIO_PROCESS, 0));
	CHECK_EQ(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, tid),
		 syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0));
}

static void feed_and_finish(struct scene *s, struct op *op, char *byte)
{
	peer_write(s->links[0], "x", 1);
	CHECK_EQ(await(&s->ring, op), 1);
	CHECK_EQ(*byte, 'x');
}

/* And remains so: one that is idle is no longer of use when its submitter has changed. */
TEST_CASE(worker_is_a_thread_like_its_submitter, ON(STREAMS), AS(CASE_WORKER))
{
	struct link *link = scene_open(s, 1);
	uint64_t started = counter_get("workers_started");
	pid_t first = 0;
	struct op op;
	char byte;

	param_set("idle_ms", NEVER_MS);
	for (int round = 0; round < 4; round++) {
		if (round != 1) { /* it may change nothing, too */
			SYS(setpriority(PRIO_PROCESS, 0, round * 3));
			SYS(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO(IOPRIO_BE, round + 2)));
		}
		read_start(&s->ring, &op, link->afd_in, &byte, 1);
		until_workers(1);
		check_like_us(worker_find());
		if (round == 1)
			CHECK_EQ(worker_find(), first);
		first = worker_find();
		feed_and_finish(s, &op, &byte);
	}
	CHECK_EQ(counter_get("workers_started") - started, 3);
}

TEST_CASE(idle_worker_ends, ON(STREAMS), AS(CASE_WORKER))
{
	struct link *link = scene_open(s, 1);
	struct op op;
	char byte;

	param_set("idle_ms", 50);
	for (unsigned int round = 0; round < 3; round++) {
		read_start(&s->ring, &op, link->afd_in, &byte, 1);
		until_workers(1);
		feed_and_finish(s, &op, &byte);
		until_workers(0);
	}
}

/* The thread that has the last reference to a proxy lets go of it there and then. */
TEST_CASE(worker_releases_a_proxy_at_once, ON(STREAMS), AS(CASE_WORKER))
{
	struct link *link = scene_open(s, 1);
	uint64_t detached = counter_get("detached");
	struct op op;
	char byte;

	param_set("idle_ms", NEVER_MS);
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	until_workers(1);
	link_detach(link);
	feed_and_finish(s, &op, &byte);
	/* TCP has one proxy for both directions. */
	until_counter("detached", detached + 1 + (s->kind == LINK_PIPE));
}

/* By task work, which is no signal; the worker goes on. */
TEST_CASE(cancel_interrupts_a_worker, ON(STREAMS), AS(CASE_WORKER))
{
	struct link *link = scene_open(s, 1);
	uint64_t interrupted = counter_get("workers_interrupted"), sent = counter_get("signals_sent");
	uint64_t runs = counter_get("worker_runs"), started = counter_get("workers_started");
	struct op op;
	char byte;

	for (unsigned int round = 0; round < 20; round++) {
		read_start(&s->ring, &op, link->afd_in, &byte, 1);
		until_counter("worker_runs", ++runs);
		CHECK_EQ(op_cancel(&s->ring, &op), 0);
		CHECK_EQ(await(&s->ring, &op), -ECANCELED);
	}
	CHECK_EQ(counter_get("workers_interrupted") - interrupted, 20);
	CHECK_EQ(counter_get("workers_started") - started, 1);
	CHECK_EQ(counter_get("signals_sent"), sent);
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	feed_and_finish(s, &op, &byte);
}

static void read_as_user(void *arg)
{
	struct rlimit none = {.rlim_cur = 1, .rlim_max = 1};
	struct scene *s = arg;
	struct op op;
	char byte;

	s->ring = (struct ring){0};
	scene_ring(s, 1);
	SYS(setrlimit(RLIMIT_NPROC, &none));
	become_user(NOBODY, 0);
	for (unsigned int round = 0; round < 4; round++) {
		read_start(&s->ring, &op, s->links[0]->afd_in, &byte, 1);
		stay_quiet(&s->ring);
		if (round & 1) {
			CHECK_EQ(op_cancel(&s->ring, &op), 0);
			CHECK_EQ(await(&s->ring, &op), -ECANCELED);
		} else {
			feed_and_finish(s, &op, &byte);
		}
	}
}

/* A user who may have no further thread gets helpers instead. */
TEST_CASE(refused_worker_is_replaced_by_a_helper, ON(STREAMS), AS(CASE_WORKER))
{
	uint64_t fallbacks = counter_get("worker_fallbacks"), started = counter_get("workers_started");

	scene_link(s);
	CHECK_EQ(child_reap(child_start(read_as_user, s), LIMIT_MS), 0);
	CHECK_EQ(counter_get("workers_started"), started);
	CHECK_EQ(counter_get("worker_fallbacks") - fallbacks, 4);
}

/* What a helper does instead is limited and charged as if the submitter did it. */
TEST_CASE(refused_worker_takes_no_limit_away, ON(NONE), AS(CASE_WORKER))
{
	struct rlimit size = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
	int proxy = proxy_make(s, scratch_file(0));
	long user_max = param_set("user_max", 0);
	struct op op;

	scene_ring(s, 1);
	SYS(setrlimit(RLIMIT_FSIZE, &size));
	op_write(&op, proxy, "x", 1);
	op.iocb.u.c.offset = 4096;
	op_start(&s->ring, &op);
	CHECK_EQ(await(&s->ring, &op), -EFBIG);
	CHECK_EQ(threads_called(WORKER), 0);
	param_set("user_max", user_max);
	op_write(&op, proxy, "x", 1);
	op.iocb.u.c.offset = 4096;
	op_start(&s->ring, &op);
	CHECK_EQ(await(&s->ring, &op), -EFBIG);
	CHECK_EQ(threads_called(WORKER), 1);
}

struct stopped {
	_Atomic int stage;
	struct scene *s;
};

static void read_while_stopped(void *arg)
{
	struct stopped *stopped = arg;
	struct scene *s = stopped->s;
	char buf[NBYTES];
	struct op op;

	s->ring = (struct ring){0};
	scene_ring(s, 1);
	read_start(&s->ring, &op, s->links[0]->afd_in, buf, NBYTES);
	until_workers(1);
	atomic_store(&stopped->stage, 1);
	CHECK_EQ(await(&s->ring, &op), NBYTES);
	pattern_check(buf, NBYTES, 0, 12);
}

/* The worker is stopped and goes on with its process; the read begins again. */
TEST_CASE(stop_and_continue_end_nothing, ON(STREAMS), AS(CASE_WORKER))
{
	struct stopped *stopped = shared_make(sizeof(*stopped));
	uint64_t retries = counter_get("worker_retries");
	char bytes[NBYTES];
	int status;
	pid_t pid;

	stopped->s = s;
	scene_link(s);
	pid = child_start(read_while_stopped, stopped);
	stage_await(&stopped->stage, 1);
	for (unsigned int round = 0; round < 10; round++) {
		SYS(kill(pid, SIGSTOP));
		CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status));
		SYS(kill(pid, SIGCONT));
		CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
		CHECK(WIFCONTINUED(status));
	}
	CHECK(counter_get("worker_retries") > retries);
	pattern_fill(bytes, NBYTES, 0, 12);
	peer_write(s->links[0], bytes, NBYTES);
	CHECK_EQ(child_reap(pid, LIMIT_MS), 0);
}

/* Every receive of the socket returns at once, before it looks for a signal: the worker looks itself. */
static void read_with_negative_timeout(void *arg)
{
	struct stopped *stopped = arg;
	struct scene *s = stopped->s;
	struct timeval negative = {.tv_sec = -1};
	static char byte;
	static struct op op;

	s->ring = (struct ring){0};
	scene_ring(s, 1);
	SYS(setsockopt(s->links[0]->in, SOL_SOCKET, SO_RCVTIMEO, &negative, sizeof(negative)));
	read_start(&s->ring, &op, s->links[0]->afd_in, &byte, 1);
	until_workers(1);
	stay_quiet(&s->ring);
	atomic_store(&stopped->stage, 1);
	for (;;)
		pause();
}

TEST_CASE(negative_timeout_keeps_no_process_from_its_end, ON(TCP), AS(CASE_WORKER))
{
	struct stopped *stopped = shared_make(sizeof(*stopped));
	int status;
	pid_t pid;

	stopped->s = s;
	scene_link(s);
	pid = child_start(read_with_negative_timeout, stopped);
	stage_await(&stopped->stage, 1);
	SYS(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	SYS(kill(pid, SIGKILL));
	CHECK_EQ(child_reap(pid, LIMIT_MS), SIGKILL);
}

static void leave_worker(void *arg)
{
	struct stopped *stopped = arg;
	struct scene *s = stopped->s;
	static char buf[NBYTES];
	static struct op op;

	s->ring = (struct ring){0};
	scene_ring(s, 1);
	read_start(&s->ring, &op, s->links[0]->afd_in, buf, NBYTES);
	until_workers(1);
	if (!atomic_load(&stopped->stage)) {
		CHECK_EQ(op_cancel(&s->ring, &op), 0);
		CHECK_EQ(await(&s->ring, &op), -ECANCELED);
	}
	atomic_fetch_add(&stopped->stage, 1);
	syscall(SYS_exit, 7); /* of this thread, not of the process */
}

/*
 * A process whose own threads have all left goes on while it has a worker: until that has been idle for long
 * enough, or the operation is over, or the process is killed.
 */
TEST_CASE(process_lasts_as_long_as_its_worker, ON(STREAMS), AS(CASE_WORKER))
{
	struct stopped *stopped = shared_make(sizeof(*stopped));
	char bytes[NBYTES];
	int status;
	pid_t pid;

	stopped->s = s;
	scene_link(s);
	param_set("idle_ms", 200);
	/* The status is that of the last thread. */
	CHECK_EQ(child_reap(child_start(leave_worker, stopped), LIMIT_MS), 0);
	CHECK_EQ(atomic_load(&stopped->stage), 1);
	pid = child_start(leave_worker, stopped);
	stage_await(&stopped->stage, 2);
	CHECK(!child_ends(pid, 500, &status));
	SYS(kill(pid, SIGKILL));
	CHECK_EQ(child_reap(pid, LIMIT_MS), SIGKILL);
	/* The read took nothing with it. */
	pattern_fill(bytes, NBYTES, 0, 13);
	peer_write(s->links[0], bytes, NBYTES);
	fd_read(s->links[0]->in, bytes, NBYTES);
	pattern_check(bytes, NBYTES, 0, 13);
}
