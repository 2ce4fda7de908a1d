/* SPDX-License-Identifier: MIT */
/* io_submit(2) and what belongs to it: waiting, cancelling, whose iocb an event names, errors. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#define BLOCKED_MS 300

static volatile sig_atomic_t nalarms;

static void on_alarm(int signal)
{
	nalarms = nalarms + 1;
}

static void alarm_in(unsigned int ms)
{
	struct itimerval timer = {.it_value.tv_usec = (suseconds_t)ms * 1000};
	struct sigaction action = {.sa_handler = on_alarm};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* On a stock kernel it is a signal that ends it, after the time that was set for that. */
static void wait_in_submit(submit_fn *submit, int fd)
{
	io_context_t ctx = ring_make(4);
	struct iocb iocb, *iocbs = &iocb;
	struct io_event event;
	char byte;

	io_prep_pread(&iocb, fd, &byte, 1, 0);
	iocb.data = &byte;
	nalarms = 0;
	alarm_in(is_preloaded() ? 0 : BLOCKED_MS);
	CHECK_EQ(submit(ctx, 1, &iocbs), 1);
	CHECK_EQ(nalarms, !is_preloaded());
	CHECK_EQ(iocb.aio_fildes, fd);
	if (is_preloaded()) {
		no_event(ctx);
		CHECK_EQ(io_cancel(ctx, &iocb, &event), -EINPROGRESS);
	}
	CHECK_EQ(event_of(ctx, &iocb), is_preloaded() ? -ECANCELED : -EINTR);
	no_event(ctx);
	CHECK_EQ(io_cancel(ctx, &iocb, &event), -EINVAL);
	CHECK_EQ(io_destroy(ctx), 0);
}

PROGRAM_CASE(a_read_that_must_wait_blocks_stock_io_submit_alone)
{
	int fds[2], pipes[2];

	tcp_pair(fds, 0);
	SYS(pipe(pipes));
	for (unsigned int i = 0; i < ARRAY_LEN(submits); i++) {
		wait_in_submit(submits[i], fds[0]);
		wait_in_submit(submits[i], pipes[0]);
	}
}

PROGRAM_CASE(an_event_names_the_iocb_of_the_program)
{
	io_context_t ctx = ring_make(16);
	int fds[2], pipes[2];

	tcp_pair(fds, 0);
	SYS(pipe(pipes));
	read_works(ctx, fds[0], fds[1], "first");
	read_works(ctx, fds[0], fds[1], "second");
	read_works(ctx, pipes[0], pipes[1], "third");
}

PROGRAM_CASE(io_destroy_ends_a_read_that_waits)
{
	io_context_t ctx = ring_make(4);
	struct iocb iocb;
	int fds[2];
	char byte;

	if (!is_preloaded())
		return;
	tcp_pair(fds, 0);
	io_prep_pread(&iocb, fds[0], &byte, 1, 0);
	submit_one(ctx, &iocb);
	CHECK_EQ(io_destroy(ctx), 0);
	close(fds[0]);
	peer_sees_end(fds[1]);
}

PROGRAM_CASE(exit_ends_a_read_that_waits)
{
	io_context_t ctx = ring_make(4);
	static struct iocb iocb;
	static char byte;
	int fds[2];

	if (!is_preloaded())
		return;
	tcp_pair(fds, 0);
	io_prep_pread(&iocb, fds[0], &byte, 1, 0);
	submit_one(ctx, &iocb);
}

PROGRAM_CASE(a_batch_has_each_kind_of_operation)
{
	char path[] = "/tmp/taio-preload.XXXXXX", text[] = "text", got[8] = "";
	struct iocb iocbs[4], *batch[4];
	io_context_t ctx = ring_make(16);
	struct timespec limit = {.tv_sec = 20};
	struct io_event event;
	unsigned int seen = 0;
	uint64_t one = 1;
	int fds[2], file = SYS(mkstemp(path)), counter = SYS(eventfd(0, 0)), n;

	tcp_pair(fds, 0);
	CHECK_EQ(write(fds[1], "t", 1), 1);
	CHECK_EQ(write(counter, &one, sizeof(one)), sizeof(one));
	io_prep_pwrite(&iocbs[0], file, text, sizeof(text), 0);
	io_prep_fsync(&iocbs[1], file);
	io_prep_poll(&iocbs[2], fds[0], POLLIN);
	io_prep_pread(&iocbs[3], counter, &one, sizeof(one), 0);
	for (unsigned int i = 0; i < 4; i++) {
		batch[i] = &iocbs[i];
		iocbs[i].data = &iocbs[i];
	}
	CHECK_EQ(io_submit(ctx, 4, batch), 4);
	while (seen != 0xf && (n = io_getevents(ctx, 1, 1, &event, &limit)) != 0) {
		static const long want[] = {sizeof(text), 0, POLLIN, sizeof(one)};
		struct iocb *iocb = event.obj;

		if (n == -EINTR)
			continue;
		CHECK_EQ(n, 1);
		CHECK(event.data == iocb && iocb >= iocbs && iocb < iocbs + 4);
		CHECK_EQ((long)event.res, want[iocb - iocbs]);
		seen |= 1u << (iocb - iocbs);
	}
	CHECK_EQ(seen, 0xf);
	CHECK_EQ(pread(file, got, sizeof(got), 0), sizeof(text));
	CHECK_EQ(iocbs[0].aio_fildes, file);
	unlink(path);
}

PROGRAM_CASE(a_batch_stops_at_the_first_that_is_wrong)
{
	io_context_t ctx = ring_make(16);
	struct iocb iocbs[3], *batch[3];
	int fds[2];
	char got[3];

	tcp_pair(fds, 0);
	CHECK_EQ(write(fds[1], "abc", 3), 3);
	for (unsigned int i = 0; i < 3; i++) {
		io_prep_pread(&iocbs[i], i == 1 ? 999 : fds[0], &got[i], 1, 0);
		batch[i] = &iocbs[i];
	}
	CHECK_EQ(io_submit(ctx, 3, batch), 1);
	CHECK_EQ(event_of(ctx, &iocbs[0]), 1);
	CHECK_EQ(iocbs[1].aio_fildes, 999);
	CHECK_EQ(iocbs[2].aio_fildes, fds[0]);
	CHECK_EQ(io_submit(ctx, 1, &batch[1]), -EBADF);
	CHECK_EQ(io_submit(ctx, 1, &batch[2]), 1);
	CHECK_EQ(event_of(ctx, &iocbs[2]), 1);
}

PROGRAM_CASE(bad_addresses_are_EFAULT)
{
	struct iocb *read_only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iocb *nowhere[] = {NULL, (struct iocb *)-1, read_only};
	io_context_t ctx = ring_make(4);
	int fds[2];

	tcp_pair(fds, 0);
	for (unsigned int i = 0; i < ARRAY_LEN(submits); i++) {
		CHECK_EQ(submits[i](ctx, 1, (void *)-1), -EFAULT);
		CHECK_EQ(submits[i](ctx, 1, NULL), -EFAULT);
		CHECK_EQ(submits[i](ctx, 1, &nowhere[0]), -EFAULT);
		CHECK_EQ(submits[i](ctx, 1, &nowhere[1]), -EFAULT);
		CHECK_EQ(submits[i](ctx, -1, nowhere), -EINVAL);
		CHECK_EQ(submits[i](ctx, 0, nowhere), 0);
	}
	/* Readable, and the kernel writes aio_key. */
	SYS(mprotect(read_only, 4096, PROT_READ | PROT_WRITE));
	io_prep_pread(read_only, fds[0], &fds, 1, 0);
	SYS(mprotect(read_only, 4096, PROT_READ));
	CHECK_EQ(io_submit(ctx, 1, &nowhere[2]), -EFAULT);
}

PROGRAM_CASE(a_counter_is_signalled)
{
	int fds[2], counter = SYS(eventfd(0, 0));
	io_context_t ctx = ring_make(4);
	struct iocb iocb;
	uint64_t n;
	char byte;

	tcp_pair(fds, 0);
	CHECK_EQ(write(fds[1], "t", 1), 1);
	io_prep_pread(&iocb, fds[0], &byte, 1, 0);
	io_set_eventfd(&iocb, counter);
	submit_one(ctx, &iocb);
	CHECK_EQ(read(counter, &n, sizeof(n)), sizeof(n));
	CHECK_EQ(event_of(ctx, &iocb), 1);
}

PROGRAM_CASE(O_NONBLOCK_counts_whenever_it_is_set)
{
	io_context_t ctx = ring_make(4);
	struct iocb iocb;
	int fds[2];
	char byte;

	tcp_pair(fds, 0);
	read_works(ctx, fds[0], fds[1], "before");
	SYS(fcntl(fds[0], F_SETFL, O_NONBLOCK));
	io_prep_pread(&iocb, fds[0], &byte, 1, 0);
	submit_one(ctx, &iocb);
	CHECK_EQ(event_of(ctx, &iocb), -EAGAIN);
	SYS(fcntl(fds[0], F_SETFL, 0));
	read_works(ctx, fds[0], fds[1], "after");
}

/* With or without a proxy: no descriptor is left for it in the second half. */
PROGRAM_CASE(without_a_free_descriptor_the_file_itself_is_used)
{
	struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};
	io_context_t ctx = ring_make(4);
	int fds[2], last = -1, fd;
	struct iocb iocb;
	char byte;

	tcp_pair(fds, 0);
	SYS(setrlimit(RLIMIT_NOFILE, &limit));
	while ((fd = dup(fds[0])) >= 0)
		last = fd;
	CHECK_EQ(write(fds[1], "t", 1), 1);
	io_prep_pread(&iocb, fds[0], &byte, 1, 0);
	submit_one(ctx, &iocb);
	CHECK_EQ(event_of(ctx, &iocb), 1);
	close(last);
	close(last - 1);
	read_works(ctx, fds[0], fds[1], "again");
}

PROGRAM_CASE(a_file_is_appended_to_and_read)
{
	char path[] = "/tmp/taio-preload.XXXXXX", got[16] = "";
	io_context_t ctx = ring_make(4);
	int fd = SYS(mkstemp(path));
	struct iocb iocb;

	CHECK_EQ(write(fd, "one ", 4), 4);
	SYS(fcntl(fd, F_SETFL, O_APPEND));
	io_prep_pwrite(&iocb, fd, "two", 3, 0);
	submit_one(ctx, &iocb);
	CHECK_EQ(event_of(ctx, &iocb), 3);
	io_prep_pread(&iocb, fd, got, sizeof(got), 0);
	submit_one(ctx, &iocb);
	CHECK_EQ(event_of(ctx, &iocb), 7);
	CHECK(!strcmp(got, "one two"));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
	unlink(path);
}
