/* SPDX-License-Identifier: MIT */
/*
 * Operations on a file whose lock a task of alice's holds while it sleeps, on memory that does not arrive or
 * for room at a peer that reads nothing. No operation waits for a lock by the policy's choice: whatever
 * carries it out sleeps, work items as well. Alice has more such operations than work items that may run at
 * once; of others nobody waits.
 */
#include "hostile.h"
#include "ktls.h"
#include "observe.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* More than the work items of a user that run at once, and less than three quarters of user_max. */
enum { OPS = 80, WORKS_MAX = 32, LONG_WRITE = 1 << 20, END_LIMIT_MS = 8000 };

struct attack {
	_Atomic int stage;
	struct scene *s;
	pid_t pid;
	int file;   /* that the operations are on */
	int holder; /* of which a write(2) holds the lock of @file */
	bool is_ktls;
};

static char room[LONG_WRITE], *stuck;
static _Atomic pid_t holder_tid;

static void *hold(void *arg)
{
	struct attack *attack = arg;

	atomic_store(&holder_tid, gettid());
	if (attack->is_ktls)
		(void)!write(attack->holder, room, LONG_WRITE);
	else
		(void)!write(attack->holder, stuck, 1);
	for (;;)
		pause();
	return NULL;
}

/* It has begun to write, and sleeps: it holds the lock. */
static void until_holding(void)
{
	while (!atomic_load(&holder_tid))
		pause_ms(1);
	until_asleep(holder_tid);
}

/* The lock is held when this returns. */
static void hold_lock(struct attack *attack)
{
	pthread_t thread;
	int uffd = -1;

	if (attack->is_ktls)
		while (send(attack->holder, room, KTLS_RECORD, MSG_DONTWAIT) > 0)
			;
	else
		stuck = uffd_pages(1, &uffd);
	CHECK_EQ(pthread_create(&thread, NULL, hold, attack), 0);
	if (!attack->is_ktls)
		uffd_await(uffd, 1);
	else
		until_holding();
}

static struct op ops[OPS];
static struct ring rings[OPS];
static char bytes[OPS];
static int proxies[OPS];

/* Before the lock is held: before Linux 6.4 attaching a pipe opens it once more, which takes its lock. */
static void prepare(const struct attack *attack)
{
	memset(bytes, 'x', OPS); /* their page is there */
	for (unsigned int i = 0; i < OPS; i++) {
		ring_open(&rings[i], 1);
		proxies[i] = wrap(attack->file, attack->s->policy, 0);
	}
}

static void submit(const struct attack *attack, unsigned int i)
{
	if (attack->is_ktls)
		write_start(&rings[i], &ops[i], proxies[i], &bytes[i], 1);
	else
		read_start(&rings[i], &ops[i], proxies[i], &bytes[i], 1);
}

struct submitter {
	const struct attack *attack;
	unsigned int i;
};

/* Where the submitter transfers, it is what sleeps. */
static void *submitter(void *arg)
{
	struct submitter *self = arg;

	submit(self->attack, self->i);
	for (;;)
		pause();
	return NULL;
}

static void alice(void *arg)
{
	static struct submitter submitters[OPS];
	struct attack *attack = arg;
	pthread_t thread;

	become_member(ALICE);
	prepare(attack);
	hold_lock(attack);
	for (unsigned int i = 0; i < OPS; i++) {
		submitters[i] = (struct submitter){attack, i};
		if (attack->s->policy == TAIO_POLICY_TASK)
			CHECK_EQ(pthread_create(&thread, NULL, submitter, &submitters[i]), 0);
		else
			submit(attack, i);
	}
	atomic_store(&attack->stage, 1);
	for (;;)
		pause();
}

static void link_renew_ktls(struct scene *s)
{
	struct link *link = s->links[0];
	int fds[2];

	link_detach(link);
	link_destroy(link);
	ktls_pair(fds, TLS_1_3_VERSION, KTLS_BUFFER);
	*link = (struct link){fds[0], fds[0], -1, -1, fds[1], fds[1]};
}

/* Bytes for all: without the lock every operation would be over at once. */
static void link_prepare(struct attack *attack)
{
	struct scene *s = attack->s;
	static const char some[2 * OPS];

	if (attack->is_ktls) {
		link_renew_ktls(s);
	} else {
		link_renew(s, s->links[0]);
		link_detach(s->links[0]);
		peer_write(s->links[0], some, sizeof(some));
		CHECK(is_readable(s->links[0]->in, 5000));
	}
	attack->file = s->links[0]->in;
	/* Of a pipe the other end has the same lock. */
	attack->holder = s->kind == LINK_PIPE ? s->links[0]->peer_out : s->links[0]->in;
}

static unsigned int running(const struct attack *attack)
{
	return attack->s->policy == TAIO_POLICY_PARK && !attack->is_ktls ? WORKS_MAX : OPS;
}

static void attack_begin(void *arg)
{
	struct attack *attack = arg;

	link_prepare(attack);
	atomic_store(&attack->stage, 0);
	attack->pid = child_start(alice, attack);
	stage_await(&attack->stage, 1);
	until_running(running(attack));
}

static void attack_end(void *arg)
{
	struct attack *attack = arg;

	CHECK_EQ(ops_running(), running(attack));
	SYS(kill(attack->pid, SIGKILL));
	CHECK_EQ(child_reap(attack->pid, END_LIMIT_MS), SIGKILL);
	/* First the far end: Linux 6.1 lets nobody close the other while a work item of TLS's waits for room
	 * there. */
	link_peer_close(attack->s->links[0]);
	no_task_in_d(END_LIMIT_MS);
}

static void attack(struct scene *s, bool is_ktls)
{
	struct attack *attack = shared_make(sizeof(*attack));
	long allowed = uffd_allow(1);

	attack->s = s;
	attack->is_ktls = is_ktls;
	scene_link(s);
	hurts_nobody(attack_begin, attack_end, attack);
	uffd_allow(allowed);
}

/* A write(2) of alice's sleeps on a page, in the lock of a pipe or a socket that has bytes for each of her
 * reads. */
TEST_CASE(stuck_by_a_lock_hurts_nobody, ON(PARKABLE), AS(CASE_PLAIN))
{
	attack(s, false);
}

/* A write(2) to a TLS socket waits for room in the lock of its writers, whoever they are. */
TEST_CASE(stuck_behind_a_write_of_ktls_hurts_nobody, ON(TCP), AS(CASE_PLAIN))
{
	attack(s, true);
}
