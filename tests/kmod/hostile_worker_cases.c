/* SPDX-License-Identifier: MIT */
/*
 * Alice's workers have no turn: a tracer of hers holds them, or SIGSTOP does, or their process is killed and
 * the tracer holds them at their end. They still count as hers, and nobody else waits for them: neither for
 * the end of a worker of his own, nor for that of a proxy or of a process. When the tracer has gone, all of
 * it goes away.
 */
#include "hostile.h"
#include "observe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKER "taio-worker"

/* More idle ones than work items that run at once, of any workqueue of the kernel's default; the others wait.
 */
enum {
	WORKERS = 300,
	IDLE = 280,
	OPS = 8,
	LIMIT_MS = 20000,
	NEVER_MS = 1000000,
	IDLE_MS = 2000,
	SOON_MS = 50
};

/* What alice does with them. */
enum way {
	WAY_TRACED,  /* traced and stopped, then of no more use to their submitter */
	WAY_STOPPED, /* their process is stopped, for longer than they may be idle */
	WAY_ENDING,  /* traced, and killed: each stops at its exit */
};

enum stage { BEGUN = 1, HELD, ENDED };

struct attack {
	_Atomic int stage, traced;
	struct scene *s;
	enum way way;
	pid_t alice, tracer;
	int gate[2]; /* a pipe, whose write end is closed when the tracer is to go */
};

/* Without looking every now and then, which bob would feel. */
static void await_gate(const struct attack *attack)
{
	char byte;

	while (read(attack->gate[0], &byte, 1) < 0 && errno == EINTR)
		;
}

static void until_workers(unsigned int most)
{
	int64_t until = now_ms() + LIMIT_MS;
	unsigned int n;

	/* A list of threads of which some end meanwhile may lack some of the others: so it is read twice. */
	while ((n = threads_called(WORKER)) > most || (n = threads_called(WORKER)) > most) {
		if (now_ms() > until)
			break;
		pause_ms(2);
	}
	CHECK(n <= most);
}

/* --- alice --- */

struct reads {
	struct ring ring;
	struct op ops[WORKERS];
	char bytes[WORKERS];
	int ends[WORKERS], proxies[WORKERS]; /* of the pipes: where to write, and where to read */
};

/* @n reads wait for as many workers; @idle of them get a byte. */
static void reads_make(struct reads *reads, unsigned int n, unsigned int idle)
{
	int fds[2];

	ring_open(&reads->ring, WORKERS + 1);
	for (unsigned int i = 0; i < n; i++) {
		scratch_pipe(fds);
		reads->ends[i] = fds[1];
		reads->proxies[i] = wrap(fds[0], TAIO_POLICY_WORKER, 0);
		read_start(&reads->ring, &reads->ops[i], reads->proxies[i], &reads->bytes[i], 1);
	}
	for (unsigned int i = 0; i < idle; i++)
		CHECK_EQ(write(reads->ends[i], "x", 1), 1);
	for (unsigned int i = 0; i < idle; i++)
		CHECK_EQ(await(&reads->ring, &reads->ops[i]), 1);
}

/* All that wait are cancelled: those whose worker has no turn, too. */
static void reads_cancel(struct reads *reads, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		CHECK_EQ(op_cancel(&reads->ring, &reads->ops[i]), 0);
		CHECK_EQ(await(&reads->ring, &reads->ops[i]), -ECANCELED);
	}
}

static void alice(void *arg)
{
	static struct reads reads;
	struct attack *attack = arg;
	struct op *last = &reads.ops[0];

	close(attack->gate[1]);
	become_member(ALICE);
	/* Where tracing is for parents. Unknown elsewhere. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	reads_make(&reads, WORKERS, IDLE);
	if (attack->way != WAY_STOPPED)
		CHECK_EQ(threads_called(WORKER), WORKERS);
	atomic_store(&attack->stage, BEGUN);
	stage_await(&attack->stage, HELD);
	if (attack->way == WAY_ENDING)
		for (;;)
			pause();
	if (attack->way == WAY_TRACED) {
		reads_cancel(&reads, IDLE, WORKERS);
		/* None is like its submitter any more. */
		SYS(setpriority(PRIO_PROCESS, 0, 5));
	}
	read_start(&reads.ring, last, reads.proxies[0], &reads.bytes[0], 1);
	if (attack->way == WAY_TRACED) {
		stay_quiet(&reads.ring);
		atomic_store(&attack->stage, ENDED);
		await_gate(attack);
	} else {
		reads_cancel(&reads, IDLE, WORKERS);
	}
	until_workers(1);
	CHECK_EQ(write(reads.ends[0], "x", 1), 1);
	CHECK_EQ(await(&reads.ring, last), 1);
	until_workers(0);
}

/* --- her tracer --- */

static bool is_worker(pid_t pid, const char *tid)
{
	char path[320], *comm;
	bool is;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", (int)pid, tid);
	comm = file_text(path);
	is = !strcmp(comm, WORKER "\n");
	free(comm);
	return is;
}

/* Every thread of hers is traced, and so would be those that she makes; of those that are stopped, workers
 * alone. */
static void trace(struct attack *attack)
{
	long options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXEC;
	struct dirent *entry;
	char path[64];
	int status;
	DIR *dir;

	if (attack->way == WAY_ENDING)
		options |= PTRACE_O_TRACEEXIT;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)attack->alice);
	dir = opendir(path);
	CHECK(dir);
	while ((entry = readdir(dir))) {
		pid_t tid = atoi(entry->d_name);

		if (!isdigit(*entry->d_name))
			continue;
		SYS(ptrace(PTRACE_SEIZE, tid, NULL, options));
		attack->traced++;
		if (attack->way == WAY_ENDING || !is_worker(attack->alice, entry->d_name))
			continue;
		SYS(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL));
		CHECK_EQ(waitpid(tid, &status, __WALL), tid);
		CHECK(WIFSTOPPED(status));
	}
	closedir(dir);
}

/* Each has stopped on its way out, before it has let go of anything. */
static void await_exits(const struct attack *attack)
{
	int status;

	for (int n = 0; n < attack->traced; n++) {
		SYS(waitpid(-1, &status, __WALL));
		CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
	}
}

static void tracer(void *arg)
{
	struct attack *attack = arg;

	close(attack->gate[1]);
	become_member(ALICE);
	trace(attack);
	if (attack->way == WAY_ENDING) {
		SYS(kill(attack->alice, SIGKILL));
		await_exits(attack);
		atomic_store(&attack->stage, ENDED);
	} else {
		atomic_store(&attack->stage, HELD);
	}
	await_gate(attack);
	/* Its end lets go of all. */
}

/* --- the others --- */

/* Workers of his own are made, interrupted and idle, and end, and so do his proxies and his process. */
static void bob_with_workers(void *arg)
{
	static struct reads reads;

	become_member(BOB);
	reads_make(&reads, OPS, OPS / 2);
	reads_cancel(&reads, OPS / 2, OPS);
	for (unsigned int i = 0; i < OPS; i++)
		close(reads.proxies[i]);
	ring_close(&reads.ring);
	until_workers(0);
}

static void stop(pid_t pid)
{
	int status;

	SYS(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
}

static void attack_begin(void *arg)
{
	struct attack *attack = arg;

	param_set("idle_ms", attack->way == WAY_STOPPED ? IDLE_MS : NEVER_MS);
	atomic_store(&attack->stage, 0);
	atomic_store(&attack->traced, 0);
	SYS(pipe2(attack->gate, O_CLOEXEC));
	attack->alice = child_start(alice, attack);
	stage_await(&attack->stage, BEGUN);
	if (attack->way == WAY_STOPPED) {
		stop(attack->alice);
	} else {
		attack->tracer = child_start(tracer, attack);
		stage_await(&attack->stage, ENDED);
	}
	param_set("idle_ms", SOON_MS);
}

static void attack_end(void *arg)
{
	struct attack *attack = arg;
	int status;

	CHECK_EQ(child_reap(child_start(bob_with_workers, NULL), LIMIT_MS), 0);
	if (attack->way == WAY_STOPPED) {
		atomic_store(&attack->stage, HELD);
		close(attack->gate[1]);
		SYS(kill(attack->alice, SIGCONT));
	} else {
		/* They are still held. */
		CHECK(!child_ends(attack->alice, 0, &status));
		close(attack->gate[1]);
		CHECK_EQ(child_reap(attack->tracer, LIMIT_MS), 0);
	}
	close(attack->gate[0]);
	CHECK_EQ(child_reap(attack->alice, LIMIT_MS), attack->way == WAY_ENDING ? SIGKILL : 0);
}

static void attack(struct scene *s, enum way way)
{
	struct attack *attack = shared_make(sizeof(*attack));
	attack->s = s;
	attack->way = way;
	param_set("user_max", 2 * WORKERS);
	hurts_nobody(attack_begin, attack_end, attack);
}

TEST_CASE(workers_that_are_traced_hurt_nobody, ON(NONE), AS(CASE_WORKER | CASE_PLAIN))
{
	attack(s, WAY_TRACED);
}

TEST_CASE(workers_that_are_stopped_hurt_nobody, ON(NONE), AS(CASE_WORKER | CASE_PLAIN))
{
	attack(s, WAY_STOPPED);
}

TEST_CASE(workers_that_a_tracer_holds_at_their_end_hurt_nobody, ON(NONE), AS(CASE_WORKER | CASE_PLAIN))
{
	attack(s, WAY_ENDING);
}
