/* SPDX-License-Identifier: MIT */
/*
 * Operations into memory that does not arrive, and out of it. Where a helper transfers, it sleeps on the page
 * as the submitter would in read(2); nobody else is held up, a cancel ends it, and so does the end of the
 * submitter.
 */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, OPS = 600, THREADS = 16, END_LIMIT_MS = 8000 };

/* --- what alice reads and writes: her operations could all go on at once --- */

static int with_data(int fds[2])
{
	CHECK_EQ(write(fds[1], "data", 4), 4);
	return fds[0];
}

static int tcp_full(void)
{
	int fds[2];

	tcp_pair(fds, 0);
	return with_data(fds);
}

static int tcp_empty(void)
{
	int fds[2];

	tcp_pair(fds, 0);
	return fds[0];
}

static void udp_pair(int fds[2])
{
	struct sockaddr_in addrs[2];

	for (unsigned int i = 0; i < 2; i++)
		fds[i] = scratch_udp(&addrs[i]);
	for (unsigned int i = 0; i < 2; i++)
		SYS(connect(fds[i], (struct sockaddr *)&addrs[!i], sizeof(addrs[!i])));
}

static int udp_full(void)
{
	int fds[2];

	udp_pair(fds);
	return with_data(fds);
}

static int udp_empty(void)
{
	int fds[2];

	udp_pair(fds);
	return fds[0];
}

static int pipe_full(void)
{
	int fds[2];

	scratch_pipe(fds);
	return with_data(fds);
}

static int pipe_empty(void)
{
	int fds[2];

	scratch_pipe(fds);
	return fds[1];
}

static int terminal_full(void)
{
	int fds[2];

	terminal_pair(fds);
	return with_data(fds);
}

static int terminal_empty(void)
{
	int fds[2];

	terminal_pair(fds);
	return fds[0];
}

/* One for all of them: a write that waits for a page holds the file's lock, as write(2) does. */
static int file(void)
{
	static int fd;

	if (!fd)
		fd = scratch_file(PAGE);
	return SYS(dup(fd));
}

/* The first is what alice cancels. */
static const struct target {
	int (*make)(void);
	bool writes;
} targets[] = {
	{pipe_full, false},	{pipe_empty, true},	{tcp_full, false}, {tcp_empty, true},
	{terminal_full, false}, {terminal_empty, true}, {udp_full, false}, {udp_empty, true},
	{file, false},		{file, true},
};

/* --- alice --- */

enum { STUCK = 1, CANCEL, CANCELLED };

struct attack {
	_Atomic int stage;
	struct scene *s;
	bool is_fuse;
	enum fuse_mode mode;
	struct fuse fuse;
	pid_t pid, oracle;
};

static struct op ops[OPS];

static void ops_make(const struct scene *s, char *pages)
{
	for (unsigned int i = 0; i < OPS; i++) {
		const struct target *target = &targets[i % ARRAY_LEN(targets)];
		int fd = target->make(), proxy = wrap(fd, s->policy, s->flags);

		if (target->writes)
			op_write(&ops[i], proxy, pages + i * PAGE, 4);
		else
			op_read(&ops[i], proxy, pages + i * PAGE, 4);
	}
}

/* Every @step-th from @first on, by one system call. */
static void ops_submit(struct ring *ring, unsigned int first, unsigned int step)
{
	struct iocb *iocbs[OPS];
	unsigned int n = 0;

	for (unsigned int i = first; i < OPS; i += step)
		iocbs[n++] = &ops[i].iocb;
	ring_open(ring, n);
	CHECK_EQ(io_submit(ring->ctx, n, iocbs), n);
}

static void *submitter(void *arg)
{
	struct ring ring;

	ops_submit(&ring, (unsigned int)(uintptr_t)arg, THREADS);
	for (;;)
		pause();
	return NULL;
}

/* What sleeps in a transfer is the submitter, so there are several. */
static void submitters_start(void)
{
	pthread_t thread;

	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&thread, NULL, submitter, (void *)i), 0);
}

/* The measure: a process that waits for the same memory in read(2). */
static void oracle(char *page)
{
	int fd = pipe_full();

	prctl(PR_SET_PDEATHSIG, 0);
	(void)!read(fd, page, 4);
	_exit(0);
}

static char *fuse_make(struct attack *attack)
{
	char *pages;
	pid_t pid;

	enter_namespaces(CLONE_NEWNS);
	pages = fuse_pages(&attack->fuse, attack->mode, OPS + 1);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		oracle(pages + (size_t)OPS * PAGE);
	attack->oracle = pid;
	while (!atomic_load(&attack->fuse.reads))
		pause_ms(1);
	return pages;
}

static void stuck_await(struct attack *attack, int uffd, int reads)
{
	if (!attack->is_fuse)
		uffd_await(uffd, ARRAY_LEN(targets));
	else
		stage_await(&attack->fuse.reads, reads + 1);
}

static void alice(void *arg)
{
	struct attack *attack = arg;
	struct scene *s = attack->s;
	int uffd = -1, reads;
	struct ring ring;
	char *pages;

	become_member(ALICE);
	pages = attack->is_fuse ? fuse_make(attack) : uffd_pages(OPS, &uffd);
	reads = atomic_load(&attack->fuse.reads);
	ops_make(s, pages);
	if (is_in_submitter(s))
		submitters_start();
	else
		ops_submit(&ring, 0, 1);
	stuck_await(attack, uffd, reads);
	atomic_store(&attack->stage, STUCK);
	stage_await(&attack->stage, CANCEL);
	if (is_in_submitter(s)) {
		proxy_cancel(ops[0].iocb.aio_fildes);
	} else {
		ring.inflight = OPS;
		ops[0].seq = (uint64_t)ops[0].iocb.data;
		CHECK_EQ(op_cancel(&ring, &ops[0]), 0);
		/* A worker, as any thread of the process, waits for the page until it comes or the process
		 * ends. */
		if (s->policy != TAIO_POLICY_WORKER && (!attack->is_fuse || attack->mode == FUSE_BACKGROUND))
			CHECK(await(&ring, &ops[0]) < 0);
	}
	atomic_store(&attack->stage, CANCELLED);
	for (;;)
		pause();
}

/* --- the attack --- */

static void attack_begin(void *arg)
{
	struct attack *attack = arg;

	atomic_store(&attack->stage, 0);
	atomic_store(&attack->fuse.reads, 0);
	attack->pid = child_start(alice, attack);
	stage_await(&attack->stage, STUCK);
}

static void alice_cancels(struct attack *attack)
{
	atomic_store(&attack->stage, CANCEL);
	stage_await(&attack->stage, CANCELLED);
}

static void uffd_end(void *arg)
{
	struct attack *attack = arg;

	alice_cancels(attack);
	SYS(kill(attack->pid, SIGKILL));
	CHECK_EQ(child_reap(attack->pid, END_LIMIT_MS), SIGKILL);
	no_task_in_d(END_LIMIT_MS);
}

TEST_CASE(stuck_by_userfaultfd_hurts_nobody, ON(NONE))
{
	struct attack *attack = shared_make(sizeof(*attack));
	long allowed = uffd_allow(1);

	attack->s = s;
	hurts_nobody(attack_begin, uffd_end, attack);
	uffd_allow(allowed);
}

static void fuse_end(void *arg)
{
	struct attack *attack = arg;
	bool ends;

	alice_cancels(attack);
	SYS(kill(attack->oracle, SIGKILL));
	ends = is_over(attack->oracle, 1000);
	CHECK_EQ(ends, attack->mode == FUSE_BACKGROUND);
	SYS(kill(attack->pid, SIGKILL));
	if (ends)
		CHECK_EQ(child_reap(attack->pid, END_LIMIT_MS), SIGKILL);
	SYS(kill(attack->fuse.server, SIGKILL));
	if (!ends)
		CHECK_EQ(child_reap(attack->pid, END_LIMIT_MS), SIGKILL);
	CHECK_EQ(child_reap(attack->fuse.server, END_LIMIT_MS), SIGKILL);
	CHECK_EQ(child_reap(attack->oracle, END_LIMIT_MS), SIGKILL);
	no_task_in_d(END_LIMIT_MS);
}

static void stuck_by_fuse(struct scene *s, enum fuse_mode mode)
{
	struct attack *attack = shared_make(sizeof(*attack));

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
	fuse_allow();
	attack->s = s;
	attack->is_fuse = true;
	attack->mode = mode;
	hurts_nobody(attack_begin, fuse_end, attack);
}

/* Ends when killed, as read(2) does. */
TEST_CASE(stuck_by_fuse_in_the_background_hurts_nobody, ON(NONE))
{
	stuck_by_fuse(s, FUSE_BACKGROUND);
}

/* Ends when the server does, as read(2) does. */
TEST_CASE(stuck_by_fuse_in_the_foreground_hurts_nobody, ON(NONE), AS(CASE_PLAIN))
{
	stuck_by_fuse(s, FUSE_FOREGROUND);
}

/* --- pages that are merely not there yet --- */

enum { MESSAGE = 6000, BUFFER = 2 * PAGE };

static char *private_pages(int fd)
{
	char *pages =
		mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	CHECK(pages != MAP_FAILED);
	return pages;
}

static char *untouched(void)
{
	return private_pages(-1);
}

static char *given_back(void)
{
	char *pages = private_pages(-1);

	memset(pages, 1, BUFFER);
	SYS(madvise(pages, BUFFER, MADV_DONTNEED));
	return pages;
}

/* The page of zeros, which a write replaces. */
static char *read_only_so_far(void)
{
	char *pages = private_pages(-1);

	CHECK_EQ(*(volatile char *)pages + *(volatile char *)(pages + PAGE), 0);
	return pages;
}

static char *half_there(void)
{
	char *pages = private_pages(-1);

	*(volatile char *)pages = 1;
	return pages;
}

static char *of_a_disk(void)
{
	int fd = scratch_disk_file(BUFFER);

	SYS(posix_fadvise(fd, 0, BUFFER, POSIX_FADV_DONTNEED));
	return private_pages(fd);
}

static char *of_shared_memory(void)
{
	int fd = scratch_file(0);
	char *pages;

	SYS(ftruncate(fd, BUFFER));
	pages = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(pages != MAP_FAILED);
	return pages;
}

static void receive(struct scene *s, const int fds[2], int proxy, char *pages, uint64_t seed)
{
	char message[MESSAGE];
	struct op op;

	pattern_fill(message, MESSAGE, 0, seed);
	if (seed & 1) {
		read_start(&s->ring, &op, proxy, pages, BUFFER);
		CHECK_EQ(write(fds[1], message, MESSAGE), MESSAGE);
	} else {
		CHECK_EQ(write(fds[1], message, MESSAGE), MESSAGE);
		read_start(&s->ring, &op, proxy, pages, BUFFER);
	}
	CHECK_EQ(await(&s->ring, &op), MESSAGE);
	pattern_check(pages, MESSAGE, 0, seed);
	SYS(munmap(pages, BUFFER));
}

/* A datagram that a transfer without page faults has taken off the socket would be lost. */
TEST_CASE(datagram_is_received_into_pages_not_there_yet, ON(NONE))
{
	static char *(*const makes[])(void) = {untouched,  given_back, read_only_so_far,
					       half_there, of_a_disk,  of_shared_memory};
	int fds[2], proxy;

	udp_pair(fds);
	proxy = proxy_make(s, fds[0]);
	scene_ring(s, 1);
	for (unsigned int i = 0; i < 4 * ARRAY_LEN(makes); i++)
		receive(s, fds, proxy, makes[i / 4](), i);
}

/* In the page cache, and in no page table. */
static char *cached(const char *text)
{
	char *page;
	int fd = scratch_file(PAGE);

	CHECK_EQ(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(page != MAP_FAILED);
	CHECK(!memcmp(page, text, strlen(text)));
	SYS(madvise(page, PAGE, MADV_DONTNEED));
	return page;
}

static void cork(int fd, int on)
{
	SYS(setsockopt(fd, IPPROTO_UDP, UDP_CORK, &on, sizeof(on)));
}

static void send_through(struct scene *s, int proxy, const char *bytes, long nbytes)
{
	struct op op;

	write_start(&s->ring, &op, proxy, bytes, (size_t)nbytes);
	CHECK_EQ(await(&s->ring, &op), nbytes);
}

/* The kernel gives up all that was corked when a copy fails. */
TEST_CASE(what_is_corked_outlives_a_page_not_there_yet, ON(NONE))
{
	int fds[2], proxy;
	char got[16];

	udp_pair(fds);
	proxy = proxy_make(s, fds[0]);
	scene_ring(s, 1);
	cork(fds[0], 1);
	send_through(s, proxy, "aaaa", 4);
	send_through(s, proxy, cached("bbbb"), 4);
	cork(fds[0], 0);
	CHECK(is_readable(fds[1], 1000));
	CHECK_EQ(read(fds[1], got, sizeof(got)), 8);
	CHECK(!memcmp(got, "aaaabbbb", 8));
}

/* --- a cancel while a helper waits for a page: nothing was taken, nothing was given up --- */

static const enum taio_policy_id helped[] = {TAIO_POLICY_BLOCK, TAIO_POLICY_PARK};

/* Ends one that waits for the page behind @uffd. */
static void cancel_stuck(struct scene *s, struct op *op, int uffd)
{
	uffd_await(uffd, 1);
	CHECK_EQ(op_cancel(&s->ring, op), 0);
	CHECK_EQ(await(&s->ring, op), -ECANCELED);
	close(uffd);
}

static void receive_after_cancel(struct scene *s, enum taio_policy_id policy)
{
	int fds[2], proxy, uffd;
	struct op op;
	char got[16];

	udp_pair(fds);
	proxy = wrap(fds[0], policy, 0);
	CHECK_EQ(write(fds[1], "kept", 4), 4);
	read_start(&s->ring, &op, proxy, uffd_pages(1, &uffd), PAGE);
	cancel_stuck(s, &op, uffd);
	read_start(&s->ring, &op, proxy, got, sizeof(got));
	CHECK(collect(&s->ring, 1000));
	CHECK_EQ(op.res, 4);
	CHECK(!memcmp(got, "kept", 4));
}

TEST_CASE(datagram_outlives_the_cancel_of_a_read_that_waits_for_a_page, ON(NONE), AS(CASE_ONCE))
{
	scene_ring(s, 1);
	for (unsigned int i = 0; i < ARRAY_LEN(helped); i++)
		receive_after_cancel(s, helped[i]);
}

static void send_after_cancel(struct scene *s, enum taio_policy_id policy)
{
	int fds[2], proxy, uffd;
	struct op op;
	char got[16];

	udp_pair(fds);
	proxy = wrap(fds[0], policy, 0);
	cork(fds[0], 1);
	send_through(s, proxy, "aaaa", 4);
	write_start(&s->ring, &op, proxy, uffd_pages(1, &uffd), 4);
	cancel_stuck(s, &op, uffd);
	send_through(s, proxy, "bbbb", 4);
	cork(fds[0], 0);
	CHECK(is_readable(fds[1], 1000));
	CHECK_EQ(read(fds[1], got, sizeof(got)), 8);
	CHECK(!memcmp(got, "aaaabbbb", 8));
}

TEST_CASE(what_is_corked_outlives_the_cancel_of_a_write_that_waits_for_a_page, ON(NONE), AS(CASE_ONCE))
{
	scene_ring(s, 1);
	for (unsigned int i = 0; i < ARRAY_LEN(helped); i++)
		send_after_cancel(s, helped[i]);
}
