/* SPDX-License-Identifier: MIT */
/* What every policy does alike on a stream: whole writes, no SIGPIPE, no timeouts of the socket's. */
#include "observe.h"
#include "semantics.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define LONG_WRITE (4u << 20)
#define SEED	   11

static char *pattern_make(size_t nbytes)
{
	char *buf = malloc(nbytes);

	CHECK(buf);
	pattern_fill(buf, nbytes, 0, SEED);
	return buf;
}

/* Far more than there is room for: its event comes when all of it is written, as a write(2) that waits
 * returns. */
TEST_CASE(write_is_whole, ON(PARKABLE))
{
	struct link *link = scene_open(s, 4);
	char *sent = pattern_make(LONG_WRITE), *got = malloc(LONG_WRITE);
	struct op op, next;

	CHECK(got);
	write_start(&s->ring, &op, link->afd_out, sent, LONG_WRITE);
	write_start(&s->ring, &next, link->afd_out, "next", 4);
	stay_quiet(&s->ring);
	peer_read(link, got, LONG_WRITE);
	CHECK_EQ(await(&s->ring, &op), LONG_WRITE);
	pattern_check(got, LONG_WRITE, 0, SEED);
	CHECK_EQ(await(&s->ring, &next), 4);
	peer_read(link, got, 4);
	CHECK_EQ(memcmp(got, "next", 4), 0);
	free(sent);
	free(got);
}

/* What has been written is told, and nothing of the rest is written afterwards. */
TEST_CASE(write_cancelled_half_way_tells_its_bytes, ON(PARKABLE))
{
	struct link *link = scene_open(s, 4);
	char *sent = pattern_make(LONG_WRITE), *got = malloc(LONG_WRITE);
	struct op op;
	long res;

	CHECK(got);
	write_start(&s->ring, &op, link->afd_out, sent, LONG_WRITE);
	peer_read(link, got, 100000);
	stay_quiet(&s->ring);
	CHECK_EQ(op_cancel(&s->ring, &op), 0);
	res = await(&s->ring, &op);
	CHECK(res >= 100000 && res < (long)LONG_WRITE);
	peer_read(link, got + 100000, (size_t)res - 100000);
	pattern_check(got, (size_t)res, 0, SEED);
	stay_quiet(&s->ring);
	CHECK(!is_readable(link->peer_in, 50));
	free(sent);
	free(got);
}

/* The peer goes half-way: the bytes first, and the next write tells why. */
TEST_CASE(write_whose_peer_goes_tells_its_bytes, ON(PARKABLE))
{
	struct link *link = scene_open(s, 4);
	char *sent = pattern_make(LONG_WRITE), *got = malloc(LONG_WRITE);
	struct op op;
	long res;

	CHECK(got);
	write_start(&s->ring, &op, link->afd_out, sent, LONG_WRITE);
	peer_read(link, got, 100000);
	stay_quiet(&s->ring);
	link_peer_close(link);
	res = await(&s->ring, &op);
	CHECK(res >= 100000 && res < (long)LONG_WRITE);
	write_start(&s->ring, &op, link->afd_out, "x", 1);
	res = await(&s->ring, &op);
	CHECK(res == -EPIPE || res == -ECONNRESET);
	free(sent);
	free(got);
}

static atomic_uint sigpipes;

static void on_sigpipe(int sig)
{
	(void)sig;
	atomic_fetch_add(&sigpipes, 1);
}

TEST_CASE(write_that_nobody_reads_sends_no_signal, ON(PARKABLE))
{
	struct link *link = scene_open(s, 4);
	struct sigaction action = {.sa_handler = on_sigpipe};
	struct op op;
	long res;

	SYS(sigaction(SIGPIPE, &action, NULL));
	link_peer_close(link);
	do { /* a socket learns of it by the reset that answers the first */
		write_start(&s->ring, &op, link->afd_out, "x", 1);
		res = await(&s->ring, &op);
	} while (res == 1 || res == -ECONNRESET);
	CHECK_EQ(res, -EPIPE);
	CHECK_EQ(sigpipes, 0);
	/* read(2) and write(2) go as on the file itself. */
	CHECK_EQ(write(link->afd_out, "x", 1), -1);
	CHECK_EQ(errno, EPIPE);
	CHECK_EQ(sigpipes, 1);
}

/* The timeouts that SO_RCVTIMEO and SO_SNDTIMEO set pass many times; only a cancel or the peer ends an
 * operation. */
TEST_CASE(timeouts_of_the_socket_end_nothing, ON(TCP))
{
	struct link *link = scene_open(s, 4);
	struct timeval timeout = {.tv_usec = 20000};
	struct op rd, wr;
	char *buf = pattern_make(LONG_WRITE), byte;
	long res;

	SYS(setsockopt(link->in, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)));
	SYS(setsockopt(link->in, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)));
	SYS(setsockopt(link->peer_in, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)));
	link_fill(link, s->kind);
	read_start(&s->ring, &rd, link->afd_in, &byte, 1);
	write_start(&s->ring, &wr, link->afd_out, buf, LONG_WRITE);
	pause_ms(300);
	stay_quiet(&s->ring);
	peer_write(link, "y", 1);
	CHECK_EQ(await(&s->ring, &rd), 1);
	CHECK_EQ(byte, 'y');
	stay_quiet(&s->ring);
	CHECK_EQ(op_cancel(&s->ring, &wr), 0);
	res = await(&s->ring, &wr);
	CHECK(res == -ECANCELED || (res > 0 && res < (long)LONG_WRITE));
	free(buf);
}

/* Pages that nobody has touched: whoever carries the operation out has them made, and no byte or datagram is
 * lost. */
TEST_CASE(buffer_is_not_there_yet, ON(PARKABLE))
{
	struct link *link = scene_open(s, 4);
	size_t nbytes = 8 * 4096;
	struct sockaddr_in ours;
	int udp = scratch_udp(&ours), proxy = proxy_make(s, udp);
	char *sent = pattern_make(nbytes), *fresh;
	size_t got;
	struct op op;

	for (int i = 0; i < 4; i++) {
		fresh = scratch_memory(nbytes);
		read_start(&s->ring, &op, proxy, fresh, nbytes);
		SYS(sendto(udp, sent, nbytes, 0, (struct sockaddr *)&ours, sizeof(ours)));
		CHECK_EQ(await(&s->ring, &op), nbytes);
		pattern_check(fresh, nbytes, 0, SEED);
		munmap(fresh, nbytes);
	}
	fresh = scratch_memory(nbytes);
	read_start(&s->ring, &op, link->afd_in, fresh, nbytes);
	stay_quiet(&s->ring);
	peer_write(link, sent, nbytes);
	for (got = (size_t)await(&s->ring, &op); got < nbytes; got += (size_t)await(&s->ring, &op))
		read_start(&s->ring, &op, link->afd_in, fresh + got, nbytes - got);
	pattern_check(fresh, nbytes, 0, SEED);
	munmap(fresh, nbytes);
	free(sent);
	close(proxy);
	close(udp);
}

/* An address that is none gives -EFAULT, and costs the stream no byte. */
TEST_CASE(bad_buffer_is_efault, ON(PARKABLE))
{
	struct link *link = scene_open(s, 4);
	char *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), byte;
	struct op op;

	CHECK(hole != MAP_FAILED);
	read_start(&s->ring, &op, link->afd_in, hole, 1);
	stay_quiet(&s->ring);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), -EFAULT);
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	CHECK_EQ(byte, 'x');
	write_start(&s->ring, &op, link->afd_out, hole, 1);
	CHECK_EQ(await(&s->ring, &op), -EFAULT);
}

/* A read that asks for less than SO_RCVLOWAT waits for no more than it asks for, as read(2). */
TEST_CASE(low_water_mark_holds_up_no_shorter_read, ON(TCP))
{
	struct link *link = scene_open(s, 1);
	int mark = 100, there = 0;
	char buf[50] = "";
	struct op op;

	SYS(setsockopt(link->in, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark)));
	peer_write(link, buf, sizeof(buf));
	while (there < (int)sizeof(buf))
		SYS(ioctl(link->in, FIONREAD, &there));
	read_start(&s->ring, &op, link->afd_in, buf, 10);
	CHECK_EQ(await(&s->ring, &op), 10);
}

/* As write(2): it is not told that nobody reads. */
TEST_CASE(write_of_nothing_to_a_broken_pipe_is_nothing, ON(PIPE))
{
	struct link *link = scene_open(s, 1);
	struct op op;
	int ret;

	link_peer_close(link);
	CHECK_EQ(write(link->out, "", 0), 0);
	op_write(&op, link->afd_out, "", 0);
	ret = op_try(&s->ring, &op);
	CHECK_EQ(ret == 1 ? await(&s->ring, &op) : ret, 0);
}

static long cpu_ticks_of_helpers(void)
{
	pid_t pids[HELPERS_MAX];
	unsigned int n = helpers_find(pids);
	long sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		unsigned long user, system;
		char path[64], *text;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pids[i]);
		text = file_text(path);
		CHECK_EQ(sscanf(strrchr(text, ')'), ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu",
				&user, &system),
			 2);
		sum += (long)(user + system);
		free(text);
	}
	return sum;
}

/* A negative timeout makes every receive return at once: the helper waits all the same, and not by spinning.
 */
TEST_CASE(negative_timeout_spins_no_helper, ON(TCP), AS(CASE_BLOCK))
{
	struct link *link = scene_open(s, 1);
	struct timeval negative = {.tv_sec = -1};
	struct op op;
	long ticks;
	char byte;

	SYS(setsockopt(link->in, SOL_SOCKET, SO_RCVTIMEO, &negative, sizeof(negative)));
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	stay_quiet(&s->ring);
	ticks = cpu_ticks_of_helpers();
	pause_ms(1000);
	ticks = cpu_ticks_of_helpers() - ticks;
	note("%ld ticks of %ld in a second", ticks, sysconf(_SC_CLK_TCK));
	CHECK(ticks < sysconf(_SC_CLK_TCK) / 2);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), 1);
}
