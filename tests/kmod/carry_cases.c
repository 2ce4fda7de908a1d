/* SPDX-License-Identifier: MIT */
/* What a helper carries of its submitter besides credentials and limits: the memory cgroup, and the nice
 * value. */
#include "observe.h"
#include "semantics.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- memory cgroup: a pipe's pages are charged to whoever writes --- */

#define GROUP	   "/sys/fs/cgroup/taio-memory"
#define PIPE_BYTES (1u << 20)
#define PIPES	   4

static long group_bytes(void)
{
	char *text = file_text(GROUP "/memory.current");
	long nbytes = atol(text);

	free(text);
	return nbytes;
}

/* Fills new pipes by operations with @state; returns how much more the group is charged. */
static long charge_of(struct scene *s, const char *bytes, uint32_t state)
{
	int pipes[PIPES][2], proxies[PIPES];
	long before = group_bytes(), after;
	struct op op;

	for (unsigned int i = 0; i < PIPES; i++) {
		scratch_pipe(pipes[i]);
		SYS(fcntl(pipes[i][1], F_SETPIPE_SZ, PIPE_BYTES));
		proxies[i] = wrap_state(pipes[i][1], s->policy, 0, state);
		write_start(&s->ring, &op, proxies[i], bytes, PIPE_BYTES);
		CHECK_EQ(await(&s->ring, &op), PIPE_BYTES);
	}
	after = group_bytes();
	for (unsigned int i = 0; i < PIPES; i++) {
		close(proxies[i]);
		fds_close(&pipes[i][0], &pipes[i][1]);
	}
	return after - before;
}

static void fill_in_group(void *arg)
{
	struct scene *outer = arg, own = *outer, *s = &own;
	char *bytes = malloc(PIPE_BYTES);
	long with, without;

	CHECK(bytes);
	memset(bytes, 'x', PIPE_BYTES);
	CHECK(file_put(GROUP "/cgroup.procs", "0"));
	scene_ring(s, 1);
	with = charge_of(s, bytes, TAIO_STATE_STREAM);
	without = charge_of(s, bytes, TAIO_STATE_STREAM & ~TAIO_STATE_MEMCG);
	note("%ld KiB charged of %u, %ld without the bit", with / 1024, PIPES * PIPE_BYTES / 1024,
	     without / 1024);
	CHECK(with > (long)(PIPES * PIPE_BYTES / 4 * 3));
	/* The submitter transfers for itself, or a thread of its group does. */
	CHECK((without > (long)(PIPES * PIPE_BYTES / 4 * 3)) ==
	      (s->policy == TAIO_POLICY_TASK || s->policy == TAIO_POLICY_WORKER));
}

TEST_CASE(memory_is_charged_to_the_submitters_group, ON(NONE))
{
	CHECK(file_put("/sys/fs/cgroup/cgroup.subtree_control", "+memory"));
	CHECK(mkdir(GROUP, 0755) == 0 || errno == EEXIST);
	CHECK_EQ(child_reap(child_start(fill_in_group, s), 20000), 0);
	for (int64_t until = now_ms() + 10000; rmdir(GROUP) && now_ms() < until;)
		pause_ms(10);
	CHECK(access(GROUP, F_OK));
}

/* --- nice value --- */

static int nice_of(pid_t pid)
{
	errno = 0;
	return getpriority(PRIO_PROCESS, (id_t)pid);
}

/* A helper with this nice value, among those that there are. */
static bool is_a_helper_at(int nice)
{
	pid_t pids[HELPERS_MAX];
	unsigned int n = helpers_find(pids);

	for (unsigned int i = 0; i < n; i++)
		if (nice_of(pids[i]) == nice)
			return true;
	return false;
}

static void until_a_helper_is_at_(int nice)
{
	for (int64_t until = now_ms() + 10000; !is_a_helper_at(nice); pause_ms(1))
		if (now_ms() > until)
			fail_at(THERE(), "no helper has nice value %d", nice);
}
#define until_a_helper_is_at(nice) (HERE(), until_a_helper_is_at_(nice))

TEST_CASE(helper_has_the_nice_value_of_the_submitter, ON(STREAMS), AS(CASE_BLOCK))
{
	static const int nices[] = {13, -7, 0, 19};
	struct link *link = scene_open(s, 1);
	struct op op;
	char byte;

	for (unsigned int i = 0; i < ARRAY_LEN(nices); i++) {
		SYS(setpriority(PRIO_PROCESS, 0, nices[i]));
		read_start(&s->ring, &op, link->afd_in, &byte, 1);
		until_a_helper_is_at(nices[i]);
		peer_write(link, "x", 1);
		CHECK_EQ(await(&s->ring, &op), 1);
	}
}

/* One that runs only where nobody else wants to. */
TEST_CASE(helper_of_an_idle_submitter_is_as_nice_as_can_be, ON(STREAMS), AS(CASE_BLOCK))
{
	struct sched_param param = {0};
	struct link *link = scene_open(s, 1);
	struct op op;
	char byte;

	SYS(sched_setscheduler(0, SCHED_IDLE, &param));
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	until_a_helper_is_at(19);
	SYS(sched_setscheduler(0, SCHED_OTHER, &param));
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), 1);
}
