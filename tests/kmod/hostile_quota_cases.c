/* SPDX-License-Identifier: MIT */
/* What a user may have of the helpers, counted over all user namespaces that he has made. */
#include "hostile.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CAP = 4, USERS = 6, READS_PER = 2, SUBORDINATES = 100000 };

struct family {
	_Atomic int stage;
	_Atomic int reading; /* members whose reads are submitted */
	struct scene *s;
	uid_t owner;
	bool nests;
};

/* Of the process that makes the members: each has its own copy. */
static int next_member;

/* One of the namespace; every other one makes another for himself. */
static void member_main(void *arg)
{
	struct family *family = arg;
	struct op ops[READS_PER];
	int member = next_member;
	char bytes[READS_PER];
	struct ring ring;

	SYS(setresuid((uid_t)member, (uid_t)member, (uid_t)member));
	SYS(prctl(PR_SET_DUMPABLE, 1));
	if (family->nests && member & 1) {
		SYS(unshare(CLONE_NEWUSER));
		put_text("/proc/self/uid_map", "7 %d 1", member);
	}
	SYS(prctl(PR_SET_PDEATHSIG, SIGKILL)); /* forgotten with the user id */
	ring_open(&ring, READS_PER);
	for (int i = 0; i < READS_PER; i++)
		read_start(&ring, &ops[i], family->s->links[member * READS_PER + i]->afd_in, &bytes[i], 1);
	atomic_fetch_add(&family->reading, 1);
	for (;;)
		pause();
}

static void owner_main(void *arg)
{
	struct family *family = arg;

	if (family->owner)
		become_member(family->owner);
	SYS(unshare(CLONE_NEWUSER));
	atomic_store(&family->stage, 1);
	stage_await(&family->stage, 2);
	for (; next_member < USERS; next_member++)
		child_start(member_main, family);
	for (;;)
		pause();
}

/* As newuidmap(1) and newgidmap(1) do, which are set-uid root, for who has ids in /etc/subuid. */
static void map_subordinates(pid_t pid, uid_t owner)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	put_text(path, "0 %u 1\n1 %u %u\n", owner, SUBORDINATES, USERS);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
	put_text(path, "0 %u 1\n", owner);
}

/* The most that have a helper at once, when all have had the time to get one. */
static unsigned int most_running(struct scene *s, uid_t owner, bool nests)
{
	struct family *family = shared_make(sizeof(*family));
	unsigned int most = 0, now;
	pid_t pid;

	family->s = s;
	family->owner = owner;
	family->nests = nests;
	for (unsigned int i = 0; i < USERS * READS_PER; i++)
		scene_link(s);
	pid = child_start(owner_main, family);
	stage_await(&family->stage, 1);
	map_subordinates(pid, owner);
	atomic_store(&family->stage, 2);
	stage_await(&family->reading, USERS);
	for (int64_t until = now_ms() + 500; now_ms() < until; pause_ms(5)) {
		now = ops_running();
		most = now > most ? now : most;
	}
	SYS(kill(pid, SIGKILL)); /* and its children with it */
	while (wait(NULL) > 0)
		;
	for (unsigned int i = 0; i < USERS * READS_PER; i++) {
		CHECK_EQ(proxy_cancel(s->links[i]->afd_in) <= 1, 1);
		until_inflight(s->links[i]->afd_in, 0);
	}
	return most;
}

TEST_CASE(namespaces_of_a_user_share_his_quota, ON(TTY), AS(CASE_BLOCK | CASE_PLAIN))
{
	long user_max = param_set("user_max", CAP), helpers_max = param_set("helpers_max", 64);
	unsigned int most;

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
	most = most_running(s, ALICE, true);
	note("%u reads have a helper, of %u by %u subordinate users", most, USERS * READS_PER, USERS);
	CHECK(most >= 1 && most <= CAP);
	param_set("user_max", user_max);
	param_set("helpers_max", helpers_max);
}

/* Root has given the ids to users of their own: containers. */
TEST_CASE(users_of_roots_namespace_have_a_quota_each, ON(TTY), AS(CASE_BLOCK | CASE_PLAIN))
{
	long user_max = param_set("user_max", CAP), helpers_max = param_set("helpers_max", 64);
	unsigned int most;

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
	most = most_running(s, 0, false);
	note("%u reads have a helper, of %u by %u users", most, USERS * READS_PER, USERS);
	CHECK_EQ(most, USERS * READS_PER);
	param_set("user_max", user_max);
	param_set("helpers_max", helpers_max);
}
