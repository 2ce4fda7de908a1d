/* SPDX-License-Identifier: MIT */
/*
 * The thread that submitted: it exits, is stopped, or takes signals, while its process goes on, or another
 * that has the same memory. Policy TASK wants it to carry the operation out, and has to do without it once it
 * is gone.
 */
#include "kmod.h"
#include "tests/case/gate.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPS	8
#define NBYTES	16
#define REAP_MS 20000

struct shared {
	_Atomic int stage;
	struct scene *s;
	struct op ops[OPS];
	char bufs[OPS][NBYTES];
	pthread_t leader;
	_Atomic long signals;
	long linger; /* turns of spin() */
};

static void links_make(struct scene *s)
{
	for (unsigned int i = 0; i < OPS; i++)
		scene_link(s);
}

static void all_submit(struct shared *shared)
{
	struct scene *s = shared->s;

	for (unsigned int i = 0; i < OPS; i++)
		read_start(&s->ring, &shared->ops[i], s->links[i]->afd_in, shared->bufs[i], NBYTES);
}

static void all_feed(struct scene *s, uint64_t seed)
{
	char bytes[NBYTES];

	for (unsigned int i = 0; i < OPS; i++) {
		pattern_fill(bytes, NBYTES, i * NBYTES, seed);
		peer_write(s->links[i], bytes, NBYTES);
	}
}

static void all_finish(struct shared *shared, uint64_t seed)
{
	for (unsigned int i = 0; i < OPS; i++) {
		CHECK_EQ(await(&shared->s->ring, &shared->ops[i]), NBYTES);
		pattern_check(shared->bufs[i], NBYTES, i * NBYTES, seed);
	}
}

static void *submit_and_exit(void *arg)
{
	all_submit(arg);
	return NULL;
}

/* Half of what a dead thread has left is delivered, half is cancelled. */
TEST_CASE(ops_outlive_the_thread_that_submitted, ON(STREAMS))
{
	static struct shared shared;
	uint64_t fallbacks = counter_get("task_fallbacks");
	pthread_t thread;

	shared.s = s;
	scene_ring(s, OPS);
	links_make(s);
	for (unsigned int round = 0; round < 4; round++) {
		CHECK_EQ(pthread_create(&thread, NULL, submit_and_exit, &shared), 0);
		pthread_join(thread, NULL);
		stay_quiet(&s->ring);
		if (round & 1) {
			for (unsigned int i = 0; i < OPS; i++)
				CHECK_EQ(op_cancel(&s->ring, &shared.ops[i]), 0);
			for (unsigned int i = 0; i < OPS; i++)
				CHECK_EQ(await(&s->ring, &shared.ops[i]), -ECANCELED);
		} else {
			all_feed(s, round);
			all_finish(&shared, round);
		}
	}
	if (s->policy == TAIO_POLICY_TASK)
		CHECK_EQ(counter_get("task_fallbacks") - fallbacks, 2 * OPS);
}

static void *submit_spin_exit(void *arg)
{
	struct shared *shared = arg;

	all_submit(shared);
	atomic_store(&shared->stage, 1);
	spin(shared->linger);
	return NULL;
}

/* The data comes while the thread is on its way out, with its task work and without it. */
TEST_CASE(thread_exit_raced_with_data, ON(PARKABLE), AS(CASE_LONG))
{
	uint64_t fallbacks = counter_get("task_fallbacks"), runs = counter_get("task_runs"), before = runs,
		 now = runs;
	long rounds = s->rounds / 40;
	static struct shared shared;
	struct steer steer = {0};
	pthread_t thread;

	shared.s = s;
	scene_ring(s, OPS);
	links_make(s);
	for (long round = 1; round <= rounds; round++) {
		atomic_store(&shared.stage, 0);
		shared.linger = -steer.head_start;
		CHECK_EQ(pthread_create(&thread, NULL, submit_spin_exit, &shared), 0);
		while (!atomic_load(&shared.stage))
			sched_yield();
		spin(steer.head_start);
		all_feed(s, (uint64_t)round);
		all_finish(&shared, (uint64_t)round);
		pthread_join(thread, NULL);
		now = counter_get("task_runs");
		steer_to(&steer, now == before);
		before = now;
	}
	fallbacks = counter_get("task_fallbacks") - fallbacks;
	note("%ld threads; task work %ju, workqueue %ju", rounds, (uintmax_t)(now - runs),
	     (uintmax_t)fallbacks);
	if (s->policy == TAIO_POLICY_TASK)
		CHECK(now > runs && fallbacks);
}

static void *outlive_the_leader(void *arg)
{
	struct shared *shared = arg;

	pthread_join(shared->leader, NULL);
	stay_quiet(&shared->s->ring);
	all_feed(shared->s, 1);
	all_finish(shared, 1);
	all_submit(shared);
	all_feed(shared->s, 2);
	all_finish(shared, 2);
	/* And the process ends with something in flight. */
	all_submit(shared);
	_exit(0);
}

static void leader_exits(void *arg)
{
	struct shared *shared = arg;
	pthread_t thread;

	scene_ring(shared->s, OPS);
	shared->leader = pthread_self();
	all_submit(shared);
	CHECK_EQ(pthread_create(&thread, NULL, outlive_the_leader, shared), 0);
	pthread_exit(NULL);
}

/* The leader stays a zombie until the others end: its operations must not wait for that. */
TEST_CASE(ops_outlive_the_leader, ON(STREAMS))
{
	static struct shared shared;

	shared.s = s;
	links_make(s);
	CHECK_EQ(child_reap(child_start(leader_exits, &shared), REAP_MS), 0);
}

static int submit_and_exec(void *arg)
{
	all_submit(arg);
	execl("/bin/sleep", "sleep", "1000", NULL);
	_exit(1);
}

/* A child that shares the memory, as posix_spawn(3)'s does. Returns once it has submitted and left that. */
static pid_t submit_by_sharer(struct shared *shared, int (*run)(void *))
{
	static char stack[65536] __attribute__((aligned(16)));

	scene_ring(shared->s, OPS);
	links_make(shared->s);
	return SYS(clone(run, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, shared));
}

/* The operations belong to memory that lives on, but who submitted them has another one now. */
TEST_CASE(ops_outlive_the_exec_of_their_submitter, ON(STREAMS))
{
	static struct shared shared;
	pid_t pid;

	shared.s = s;
	pid = submit_by_sharer(&shared, submit_and_exec);
	stay_quiet(&s->ring);
	for (unsigned int i = 0; i < OPS / 2; i++)
		CHECK_EQ(op_cancel(&s->ring, &shared.ops[i]), 0);
	/* Before there is data: a cancelled read may still take what comes until its helper has seen the
	 * signal. */
	for (unsigned int i = 0; i < OPS / 2; i++)
		CHECK_EQ(await(&s->ring, &shared.ops[i]), -ECANCELED);
	all_feed(s, 1);
	for (unsigned int i = 0; i < OPS / 2; i++)
		read_start(&s->ring, &shared.ops[i], s->links[i]->afd_in, shared.bufs[i], NBYTES);
	all_finish(&shared, 1);
	SYS(kill(pid, SIGKILL));
	CHECK_EQ(child_reap(pid, REAP_MS), SIGKILL);
}

/* More than twice as long as it takes until a helper is ended with the process for which it works. */
#define LOOKS_MS 2500

static int submit_and_exit_alone(void *arg)
{
	all_submit(arg);
	_exit(0);
}

/* A helper ends with that process only if the one that owns the memory ends as well. */
TEST_CASE(ops_outlive_their_submitter_while_the_owner_lives, ON(PIPE),
	  AS(CASE_BLOCK | CASE_WORKER | CASE_PLAIN))
{
	static struct shared shared;

	shared.s = s;
	CHECK_EQ(child_reap(submit_by_sharer(&shared, submit_and_exit_alone), REAP_MS), 0);
	CHECK_EQ(collect(&s->ring, LOOKS_MS), 0);
	all_feed(s, 1);
	all_finish(&shared, 1);
}

static int submit_and_stay(void *arg)
{
	struct shared *shared = arg;

	all_submit(shared);
	atomic_store(&shared->stage, 1);
	stage_await(&shared->stage, 2);
	CHECK_EQ(collect(&shared->s->ring, LOOKS_MS), 0);
	atomic_store(&shared->stage, 3);
	all_finish(shared, 1);
	atomic_store(&shared->stage, 4);
	_exit(0);
}

static void own_the_memory(void *arg)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct shared *shared = arg;

	scene_ring(shared->s, OPS);
	SYS(clone(submit_and_stay, stack + sizeof(stack), CLONE_VM | SIGCHLD, shared));
	for (;;)
		pause();
}

/* Nor with the owner alone, which a tracer keeps from letting go of the memory. */
TEST_CASE(ops_outlive_the_owner_of_the_memory_of_their_submitter, ON(PIPE),
	  AS(CASE_BLOCK | CASE_WORKER | CASE_PLAIN))
{
	struct shared *shared = shared_make(sizeof(*shared));
	int status;
	pid_t pid;

	shared->s = s;
	links_make(s);
	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid = child_start(own_the_memory, shared);
	stage_await(&shared->stage, 1);
	SYS(ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT));
	SYS(kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
	atomic_store(&shared->stage, 2);
	stage_await(&shared->stage, 3);
	all_feed(s, 1);
	stage_await(&shared->stage, 4);
	SYS(ptrace(PTRACE_DETACH, pid, NULL, NULL));
	CHECK_EQ(child_reap(pid, REAP_MS), SIGKILL);
	SYS(wait(&status)); /* the submitter, its child */
	CHECK_EQ(status, 0);
}

static void submit_and_finish(void *arg)
{
	struct shared *shared = arg;

	scene_ring(shared->s, OPS);
	all_submit(shared);
	atomic_store(&shared->stage, 1);
	stage_await(&shared->stage, 2);
	all_finish(shared, 3);
}

static void stop(pid_t pid)
{
	int status;

	SYS(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
}

/* Until nothing is in flight there: what was has its result, and its bytes are where they belong. */
static void inflight_await_none(int afd)
{
	int64_t until = now_ms() + REAP_MS;
	struct taio_ioc_info info;

	do
		proxy_info(afd, &info);
	while (info.inflight && now_ms() < until);
	CHECK_EQ(info.inflight, 0);
}

/* Helpers do their work meanwhile; task work waits until the submitter may run, and workers stop as well. */
TEST_CASE(stopped_submitter_loses_nothing, ON(STREAMS))
{
	struct shared *shared = shared_make(sizeof(*shared));
	bool by_helper = s->policy != TAIO_POLICY_TASK && s->policy != TAIO_POLICY_WORKER;
	pid_t pid;

	shared->s = s;
	links_make(s);
	pid = child_start(submit_and_finish, shared);
	stage_await(&shared->stage, 1);
	stop(pid);
	all_feed(s, 3);
	for (unsigned int i = 0; i < OPS && by_helper; i++) {
		inflight_await_none(s->links[i]->afd_in);
		pattern_check(shared->bufs[i], NBYTES, i * NBYTES, 3);
	}
	atomic_store(&shared->stage, 2);
	SYS(kill(pid, SIGCONT));
	CHECK_EQ(child_reap(pid, REAP_MS), 0);
}

static void submit_and_be_cancelled(void *arg)
{
	struct shared *shared = arg;

	scene_ring(shared->s, OPS);
	all_submit(shared);
	atomic_store(&shared->stage, 1);
	stage_await(&shared->stage, 2);
	for (unsigned int i = 0; i < OPS; i++)
		CHECK_EQ(await(&shared->s->ring, &shared->ops[i]), -ECANCELED);
}

/*
 * Another process, which has the proxies too, cancels. TASK: half of the operations are handed over to the
 * submitter then, which cannot begin with them; their bytes stay where they are.
 */
TEST_CASE(stopped_submitter_can_be_cancelled, ON(STREAMS))
{
	struct shared *shared = shared_make(sizeof(*shared));
	unsigned int fed = s->policy == TAIO_POLICY_TASK ? OPS / 2 : 0;
	char bytes[NBYTES];
	pid_t pid;

	shared->s = s;
	links_make(s);
	pid = child_start(submit_and_be_cancelled, shared);
	stage_await(&shared->stage, 1);
	stop(pid);
	for (unsigned int i = 0; i < fed; i++) {
		pattern_fill(bytes, NBYTES, i * NBYTES, 4);
		peer_write(s->links[i], bytes, NBYTES);
	}
	for (unsigned int i = 0; i < OPS; i++) {
		CHECK_EQ(proxy_cancel(s->links[i]->afd_in), 1);
		inflight_await_none(s->links[i]->afd_in);
	}
	atomic_store(&shared->stage, 2);
	SYS(kill(pid, SIGCONT));
	CHECK_EQ(child_reap(pid, REAP_MS), 0);
	for (unsigned int i = 0; i < fed; i++) {
		fd_read(s->links[i]->in, bytes, NBYTES);
		pattern_check(bytes, NBYTES, i * NBYTES, 4);
	}
}

static struct shared *signalled;

static void on_signal(int signo)
{
	atomic_fetch_add(&signalled->signals, 1);
}

static void rounds_under_signals(void *arg)
{
	struct shared *shared = arg;
	struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */

	signalled = shared;
	SYS(sigaction(SIGUSR1, &action, NULL));
	scene_ring(shared->s, OPS);
	atomic_store(&shared->stage, 1);
	for (uint64_t round = 0; round < 100 || atomic_load(&shared->signals) < 200; round++) {
		all_submit(shared);
		if (random_below(2))
			sched_yield();
		all_feed(shared->s, round);
		all_finish(shared, round);
	}
	atomic_store(&shared->stage, 2);
}

/* Signals interrupt what the submitter does, never what it has submitted. */
TEST_CASE(signals_to_the_submitter_end_nothing, ON(STREAMS))
{
	struct shared *shared = shared_make(sizeof(*shared));
	pid_t pid;

	shared->s = s;
	links_make(s);
	pid = child_start(rounds_under_signals, shared);
	stage_await(&shared->stage, 1);
	for (int64_t until = now_ms() + REAP_MS; atomic_load(&shared->stage) < 2 && now_ms() < until;) {
		kill(pid, SIGUSR1);
		sched_yield();
		if (atomic_load(&shared->signals) > 100)
			pause_ms(1);
	}
	CHECK_EQ(child_reap(pid, REAP_MS), 0);
	note("%ld signals", atomic_load(&shared->signals));
}
