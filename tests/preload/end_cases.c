/* SPDX-License-Identifier: MIT */
/* What ends a descriptor: nothing holds its file then, and what gets its number next is what iocbs reach. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void by_close(int fd)
{
	SYS(close(fd));
}

static void by_number(int fd)
{
	SYS(syscall(SYS_close, fd));
}

static void by_fclose(int fd)
{
	FILE *file = fdopen(fd, "r+");

	CHECK(file);
	CHECK_EQ(fclose(file), 0);
}

static void by_dup2(int fd)
{
	SYS(dup2(STDERR_FILENO, fd));
	SYS(close(fd));
}

static void by_dup3(int fd)
{
	SYS(dup3(STDERR_FILENO, fd, O_CLOEXEC));
	SYS(close(fd));
}

static void by_range(int fd)
{
	SYS(close_range((unsigned int)fd, (unsigned int)fd, 0));
}

static void by_range_from(int fd)
{
	SYS(close_range((unsigned int)fd, UINT_MAX, 0));
}

static void by_closefrom(int fd)
{
	closefrom(fd);
}

/* As daemons do. */
static void by_all_numbers(int fd)
{
	for (int i = fd; i < 4096; i++)
		close(i);
}

typedef void end_fn(int fd);

/* Two files after another under one number. */
static void number_used_twice(end_fn *end)
{
	io_context_t ctx = ring_make(4);
	int first[2], second[2], peer, fd;

	tcp_pair(first, 0);
	peer = SYS(fcntl(first[1], F_DUPFD, 3));
	CHECK_EQ(close(first[1]), 0);
	fd = SYS(fcntl(first[0], F_DUPFD, 40));
	CHECK_EQ(close(first[0]), 0);
	read_works(ctx, fd, peer, "first");
	end(fd);
	CHECK(fcntl(fd, F_GETFD) < 0);
	peer_sees_end(peer);
	tcp_pair(second, 0);
	SYS(fcntl(second[0], F_DUPFD, fd));
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	CHECK_EQ(close(second[0]), 0);
	read_works(ctx, fd, second[1], "second");
	CHECK_EQ(close(fd), 0);
	peer_sees_end(second[1]);
	CHECK_EQ(io_destroy(ctx), 0);
	CHECK_EQ(close(peer), 0);
	CHECK_EQ(close(second[1]), 0);
}

PROGRAM_CASE(a_number_that_is_used_again_reaches_the_new_file)
{
	static end_fn *const ends[] = {by_close, by_number,	by_fclose,    by_dup2,	      by_dup3,
				       by_range, by_range_from, by_closefrom, by_all_numbers, by_close};

	for (unsigned int i = 0; i < ARRAY_LEN(ends); i++)
		number_used_twice(ends[i]);
}

/* Some code closes without libc. The file is held a while then; what counts is what the number means. */
PROGRAM_CASE(a_number_that_was_closed_unseen_reaches_the_new_file)
{
	io_context_t ctx = ring_make(4);
	int first[2], second[2], fd;
	struct iocb iocb, *iocbs = &iocb;
	char byte;

	tcp_pair(first, 0);
	fd = SYS(fcntl(first[0], F_DUPFD, 40));
	SYS(close(first[0]));
	read_works(ctx, fd, first[1], "first");
	close_unseen(fd);
	io_prep_pread(&iocb, fd, &byte, 1, 0);
	CHECK_EQ(io_submit(ctx, 1, &iocbs), -EBADF);
	tcp_pair(second, 0);
	SYS(dup2(second[0], fd));
	read_works(ctx, fd, second[1], "second");
	peer_sees_end(first[1]);
}

PROGRAM_CASE(a_duplicate_is_a_file_of_its_own_to_close)
{
	io_context_t ctx = ring_make(4);
	int fds[2], copy;

	tcp_pair(fds, 0);
	copy = SYS(dup(fds[0]));
	read_works(ctx, fds[0], fds[1], "one");
	read_works(ctx, copy, fds[1], "other");
	SYS(close(fds[0]));
	read_works(ctx, copy, fds[1], "left");
	SYS(close(copy));
	peer_sees_end(fds[1]);
}

/* As on the file: closing its descriptor ends no operation. */
PROGRAM_CASE(a_read_outlives_the_descriptor)
{
	io_context_t ctx = ring_make(4);
	struct iocb iocb;
	char byte = 0;
	int fds[2];

	if (!is_preloaded())
		return;
	tcp_pair(fds, 0);
	io_prep_pread(&iocb, fds[0], &byte, 1, 0);
	submit_one(ctx, &iocb);
	SYS(close(fds[0]));
	CHECK_EQ(write(fds[1], "t", 1), 1);
	CHECK_EQ(event_of(ctx, &iocb), 1);
	CHECK_EQ(byte, 't');
	peer_sees_end(fds[1]);
}

/* A daemon closes all that it may have inherited; what it has not is EBADF, and stays. */
PROGRAM_CASE(a_number_that_the_program_does_not_have_is_EBADF)
{
	io_context_t ctx = ring_make(4);
	int fds[2];

	/* Whoever started the test may have left some. */
	closefrom(64);
	tcp_pair(fds, 0);
	read_works(ctx, fds[0], fds[1], "before");
	for (int number = 64; number < 4096; number++)
		CHECK(close(number) == -1 && errno == EBADF);
	read_works(ctx, fds[0], fds[1], "after");
}

/* dup2(2) to a number that the library has taken for itself. */
PROGRAM_CASE(the_program_may_have_any_number)
{
	io_context_t ctx = ring_make(4);
	int fds[2], other[2];

	tcp_pair(fds, 0);
	tcp_pair(other, 0);
	read_works(ctx, fds[0], fds[1], "before");
	for (int number = 1000; number < 1040; number++)
		SYS(dup2(other[0], number));
	for (int number = 1000; number < 1040; number++)
		read_works(ctx, number, other[1], "own");
	read_works(ctx, fds[0], fds[1], "after");
	for (int number = 1000; number < 1040; number++)
		SYS(close(number));
	SYS(close(other[0]));
	peer_sees_end(other[1]);
}
