/* SPDX-License-Identifier: MIT */
/*
 * Proxies that are closed while work items of their user's sleep, each on the lock of a socket that a thread
 * of the user's own holds in write(2) for as long as its page does not come.
 */
#include "hostile.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* As many work items of one user as run at once, and one more. */
enum { PAGE = 4096, HELD = 32, SOCKETS = HELD + 1, LIMIT_MS = 10000 };

enum { CLOSED = 1 };

struct closing {
	_Atomic int stage;
};

struct writer {
	int fd;
	char *page;
};

static void *write_main(void *arg)
{
	struct writer *writer = arg;

	(void)!write(writer->fd, writer->page, 1);
	return NULL;
}

/* Their sockets are locked when it returns. */
static void writers_start(struct writer writers[HELD])
{
	pthread_t thread;
	char *pages;
	int uffd;

	pages = uffd_pages(HELD, &uffd);
	for (unsigned int i = 0; i < HELD; i++) {
		writers[i].page = pages + (size_t)i * PAGE;
		CHECK_EQ(pthread_create(&thread, NULL, write_main, &writers[i]), 0);
	}
	uffd_await(uffd, HELD);
}

/* The last of her sockets, whose work item waits for its turn, is closed, and its operation cancelled. */
static void alice(void *arg)
{
	static struct writer writers[HELD];
	static struct op ops[SOCKETS];
	static char bytes[SOCKETS];
	struct closing *closing = arg;
	int fds[SOCKETS][2], proxy = -1;
	struct ring ring;

	become_member(ALICE);
	for (unsigned int i = 0; i < SOCKETS; i++) {
		tcp_pair(fds[i], 0);
		CHECK_EQ(write(fds[i][1], "x", 1), 1);
		CHECK(is_readable(fds[i][0], LIMIT_MS));
		if (i < HELD)
			writers[i].fd = fds[i][0];
	}
	writers_start(writers);
	ring_open(&ring, SOCKETS);
	for (unsigned int i = 0; i < SOCKETS; i++) {
		proxy = wrap(fds[i][0], TAIO_POLICY_PARK, 0);
		read_start(&ring, &ops[i], proxy, &bytes[i], 1);
	}
	close(proxy);
	close(fds[HELD][0]);
	CHECK_EQ(op_cancel(&ring, &ops[HELD]), 0);
	CHECK_EQ(await(&ring, &ops[HELD]), -ECANCELED);
	/* It goes with its proxy. */
	CHECK(is_readable(fds[HELD][1], LIMIT_MS));
	atomic_store(&closing->stage, CLOSED);
	for (;;)
		pause();
}

/* The last reference to his proxy is a helper's, and what a kernel thread drops is dropped by one work item
 * for all. */
static void bob(void *arg)
{
	(void)arg;
	become_member(BOB);
	for (unsigned int i = 0; i < 3; i++) {
		struct ring ring;
		int fds[2], proxy;
		struct op op;
		char byte;

		tcp_pair(fds, 0);
		ring_open(&ring, 1);
		proxy = wrap(fds[0], TAIO_POLICY_BLOCK, 0);
		read_start(&ring, &op, proxy, &byte, 1);
		close(proxy);
		close(fds[0]);
		CHECK_EQ(op_cancel(&ring, &op), 0);
		CHECK_EQ(await(&ring, &op), -ECANCELED);
		CHECK(is_readable(fds[1], LIMIT_MS));
		CHECK_EQ(read(fds[1], &byte, 1), 0);
		close(fds[1]);
		ring_close(&ring);
	}
}

TEST_CASE(close_beside_sleeping_work_items_holds_up_nobody, ON(NONE), AS(CASE_ONCE))
{
	struct closing *closing = shared_make(sizeof(*closing));
	long allowed = uffd_allow(1);
	pid_t pid = child_start(alice, closing);

	(void)s;
	stage_await(&closing->stage, CLOSED);
	CHECK_EQ(child_reap(child_start(bob, NULL), 4 * LIMIT_MS), 0);
	SYS(kill(pid, SIGKILL));
	CHECK_EQ(child_reap(pid, LIMIT_MS), SIGKILL);
	no_task_in_d(LIMIT_MS);
	uffd_allow(allowed);
}
