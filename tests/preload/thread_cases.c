/* SPDX-License-Identifier: MIT */
/* Threads: an iocb is its owner's again when its event is there, which may be before io_submit(2) has
 * returned. */
#include "program.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NTHREADS 4

static void *sleeper(void *arg)
{
	pause();
	return NULL;
}

static void become_threaded(void)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, sleeper, NULL), 0);
}

/* One that was prepared once, for a file that then changes under its number. */
PROGRAM_CASE(an_iocb_is_submitted_again_as_it_is)
{
	io_context_t ctx = ring_make(4);
	struct iocb iocb, *iocbs = &iocb;
	int fds[2], other[2];
	char byte;

	become_threaded();
	tcp_pair(fds, 0);
	io_prep_pread(&iocb, fds[0], &byte, 1, 0);
	for (char text = 'a'; text < 'f'; text++) {
		CHECK_EQ(write(fds[1], &text, 1), 1);
		submit_one(ctx, &iocb);
		CHECK_EQ(event_of(ctx, &iocb), 1);
		CHECK_EQ(byte, text);
	}
	tcp_pair(other, 0);
	CHECK_EQ(write(other[1], "z", 1), 1);
	SYS(dup2(other[0], fds[0]));
	submit_one(ctx, &iocb);
	CHECK_EQ(event_of(ctx, &iocb), 1);
	CHECK_EQ(byte, 'z');
	SYS(close(fds[0]));
	CHECK_EQ(io_submit(ctx, 1, &iocbs), -EBADF);
}

/* --- one thread submits, another reaps and unmaps --- */

struct passage {
	io_context_t ctx;
	int fd;
	atomic_long nreaped;
	long rounds;
};

/* An iocb in a page of its own, with room for the byte that it reads. */
static struct iocb *page_make(int fd)
{
	struct iocb *iocb = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(iocb != MAP_FAILED);
	io_prep_pread(iocb, fd, iocb + 1, 1, 0);
	iocb->data = iocb;
	return iocb;
}

static void *reaper(void *arg)
{
	struct passage *passage = arg;
	struct io_event events[16];

	while (passage->nreaped < passage->rounds) {
		int n = io_getevents(passage->ctx, 1, 16, events, NULL);

		for (int i = 0; i < n; i++) {
			CHECK_EQ((long)events[i].res, 1);
			CHECK(events[i].obj == events[i].data);
			munmap(events[i].obj, 4096);
			passage->nreaped++;
		}
	}
	return NULL;
}

static void *writer(void *arg)
{
	struct passage *passage = arg;

	for (long i = 0; i < passage->rounds; i++)
		CHECK_EQ(write(passage->fd, "t", 1), 1);
	return NULL;
}

PROGRAM_CASE(an_iocb_may_be_gone_before_io_submit_returns)
{
	long rounds = suite_rounds * 4 / 8 * 8;
	struct passage reads = {.ctx = ring_make(64), .rounds = rounds}, writes = {.rounds = rounds};
	pthread_t threads[2];
	int fds[2];

	SYS(pipe(fds));
	writes.fd = fds[1];
	CHECK_EQ(pthread_create(&threads[0], NULL, reaper, &reads), 0);
	CHECK_EQ(pthread_create(&threads[1], NULL, writer, &writes), 0);
	for (long i = 0; i < rounds; i += 8) {
		struct iocb *batch[8];
		int n = 0, ret;

		for (int k = 0; k < 8; k++)
			batch[k] = page_make(fds[0]);
		while (n < 8) {
			ret = io_submit(reads.ctx, 8 - n, batch + n);
			CHECK(ret > 0 || ret == -EAGAIN || ret == -EINTR);
			n += ret > 0 ? ret : 0;
		}
	}
	for (unsigned int i = 0; i < ARRAY_LEN(threads); i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(reads.nreaped, rounds);
}

/* --- many threads, each with descriptors that come and go under numbers that others had --- */

static void *opener(void *arg)
{
	io_context_t ctx = ring_make(8);
	char text[32], got[32];
	struct iocb iocb;
	int fds[2];

	for (long i = 0; i < suite_rounds; i++) {
		snprintf(text, sizeof(text), "%ld %p", i, arg);
		SYS(pipe(fds));
		memset(got, 0, sizeof(got));
		CHECK_EQ(write(fds[1], text, strlen(text)), strlen(text));
		io_prep_pread(&iocb, fds[0], got, sizeof(got), 0);
		iocb.data = got;
		submit_one(ctx, &iocb);
		CHECK_EQ(event_of(ctx, &iocb), strlen(text));
		CHECK(!strcmp(text, got));
		SYS(close(fds[0]));
		/* The last hold on the reading end is gone. */
		CHECK_EQ(write(fds[1], text, 1), -1);
		CHECK_EQ(errno, EPIPE);
		SYS(close(fds[1]));
	}
	return NULL;
}

PROGRAM_CASE(threads_reach_their_own_files)
{
	pthread_t threads[NTHREADS];

	for (long i = 0; i < NTHREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, opener, (void *)i), 0);
	for (unsigned int i = 0; i < NTHREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}
