/* SPDX-License-Identifier: MIT */
/* Every way to end, in every state that operations may be in: the process is gone within a bound, whoever
 * looks. */
#include "hostile.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPS = 4, PAGE = 4096, END_MS = 8000 };

enum state {
	STATE_WAITING,	  /* for data */
	STATE_QUEUED,	  /* for a helper, with a cap of one read */
	STATE_DATA,	  /* data came while the submitter was stopped */
	STATE_STUCK,	  /* in a page that does not arrive */
	STATE_CANCELLING, /* likewise, and cancelled */
	NSTATES
};

enum way { WAY_KILL, WAY_EXIT, WAY_EXEC, WAY_THREAD, NWAYS };

static const char *const state_names[] = {"waiting", "queued", "with data", "stuck", "cancelling"};
static const char *const way_names[] = {"killed", "exits", "execs", "killed after its thread"};

struct end {
	_Atomic int stage;
	struct scene *s;
	enum state state;
	enum way way;
	char *pages;
	_Atomic int submitted;
};

static bool is_stuck(const struct end *end)
{
	return end->state == STATE_STUCK || end->state == STATE_CANCELLING;
}

static void *submitter(void *arg)
{
	static struct op ops[OPS];
	static char bytes[OPS];
	struct end *end = arg;
	struct scene *s = end->s;

	scene_ring(s, OPS);
	for (unsigned int i = 0; i < OPS; i++)
		read_start(&s->ring, &ops[i], s->links[i]->afd_in,
			   is_stuck(end) ? end->pages + i * PAGE : &bytes[i], 1);
	atomic_store(&end->submitted, 1);
	while (end->way != WAY_THREAD)
		pause();
	return NULL;
}

static void victim(void *arg)
{
	struct end *end = arg;
	pthread_t thread;
	int uffd;

	become_member(ALICE);
	if (is_stuck(end))
		end->pages = uffd_pages(OPS, &uffd);
	CHECK_EQ(pthread_create(&thread, NULL, submitter, end), 0);
	if (is_stuck(end))
		uffd_await(uffd, 1);
	else
		stage_await(&end->submitted, 1);
	if (end->way == WAY_THREAD && !is_stuck(end))
		pthread_join(thread, NULL);
	if (end->state == STATE_CANCELLING)
		for (unsigned int i = 0; i < OPS; i++)
			proxy_cancel(end->s->links[i]->afd_in);
	atomic_store(&end->stage, 1);
	stage_await(&end->stage, 2);
	if (end->way == WAY_EXIT)
		_exit(0);
	if (end->way == WAY_EXEC)
		execl("/bin/true", "true", NULL);
	for (;;)
		pause();
}

static void data_send(struct scene *s)
{
	for (unsigned int i = 0; i < OPS; i++)
		peer_write(s->links[i], "x", 1);
}

static void stop(pid_t pid)
{
	int status;

	SYS(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
}

static void end_in(struct scene *s, struct end *end)
{
	int64_t begin;
	int status;
	pid_t pid;

	for (unsigned int i = 0; i < OPS; i++)
		link_renew(s, s->links[i]);
	atomic_store(&end->stage, 0);
	atomic_store(&end->submitted, 0);
	if (is_stuck(end))
		data_send(s);
	pid = child_start(victim, end);
	stage_await(&end->stage, 1);
	if (end->state == STATE_DATA) {
		stop(pid);
		data_send(s);
	}
	begin = now_ms();
	if (end->way == WAY_KILL || end->way == WAY_THREAD) {
		SYS(kill(pid, SIGKILL));
	} else {
		atomic_store(&end->stage, 2);
		SYS(kill(pid, SIGCONT));
	}
	if (!child_ends(pid, END_MS, &status)) {
		stacks_print(pid);
		fail_at(HERE(), "%s, %s: not over after %jd ms", state_names[end->state], way_names[end->way],
			(intmax_t)(now_ms() - begin));
	}
}

TEST_CASE(end_in_every_state, ON(STREAMS))
{
	struct end *end = shared_make(sizeof(*end));
	long user_max = param_get("user_max"), allowed = uffd_allow(1);

	end->s = s;
	for (unsigned int i = 0; i < OPS; i++)
		scene_link(s);
	for (end->state = 0; end->state < NSTATES; end->state++)
		for (end->way = 0; end->way < NWAYS; end->way++) {
			param_set("user_max", end->state == STATE_QUEUED ? 2 : user_max);
			end_in(s, end);
		}
	no_task_in_d(END_MS);
	param_set("user_max", user_max);
	uffd_allow(allowed);
}

/* --- a lock that is held for the process, by whoever carries out its operation, and that it waits for --- */

/*
 * As where a thread of its own holds the lock, in write(2): that is ended with the process, and so is what holds it
 * for an operation, or nothing would end either. The userfaultfd would be closed behind the wait alone.
 */
struct held {
	_Atomic int stage;
	struct scene *s;
	int proxy;
	char *page;
};

static void *writer(void *arg)
{
	static struct ring ring;
	static struct op op;
	struct held *held = arg;

	ring_open(&ring, 1);
	write_start(&ring, &op, held->proxy, held->page, 1);
	for (;;)
		pause();
	return NULL;
}

static void pair_make(enum link_kind kind, int fds[2])
{
	if (kind == LINK_PIPE)
		scratch_pipe(fds);
	else if (kind == LINK_TCP)
		tcp_pair(fds, 0);
	else
		fds[1] = scratch_file(0);
}

static void waiter(void *arg)
{
	struct held *held = arg;
	pthread_t thread;
	int fds[2], uffd;
	char byte = 0;

	become_member(ALICE);
	held->page = uffd_pages(1, &uffd);
	pair_make(held->s->kind, fds);
	held->proxy = proxy_make(held->s, fds[1]);
	CHECK_EQ(pthread_create(&thread, NULL, writer, held), 0);
	uffd_await(uffd, 1);
	atomic_store(&held->stage, 1);
	if (held->s->kind == LINK_PIPE)
		(void)!read(fds[0], &byte, 1);
	else
		(void)!write(fds[1], &byte, 1);
	fail_at(HERE(), "the lock was not held");
}

TEST_CASE(end_in_wait_for_a_lock_held_for_it, ON(KILLABLE))
{
	struct held *held = shared_make(sizeof(*held));
	long allowed = uffd_allow(1);
	pid_t pid;

	held->s = s;
	pid = child_start(waiter, held);
	stage_await(&held->stage, 1);
	until_in_d(pid);
	SYS(kill(pid, SIGKILL));
	CHECK_EQ(child_reap(pid, END_MS), SIGKILL);
	no_task_in_d(END_MS);
	uffd_allow(allowed);
}
