/* SPDX-License-Identifier: MIT */
/*
 * Operations of one direction of a proxy take turns, in the order in which they were submitted, and a wake-up
 * is one's alone.
 */
#include "semantics.h"

#include "base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS 12
#define HERD  2000

/* The events of ops[0..n) have come in this order. */
static void check_order(const struct op *ops, unsigned int n)
{
	for (unsigned int i = 1; i < n; i++)
		if (ops[i].nth <= ops[i - 1].nth)
			fail_at(THERE(), "the event of operation %u came before that of %u", i, i - 1);
}

/* Some of them are submitted while the data of others come, and some find their data there. */
TEST_CASE(reads_complete_in_the_order_of_submission, ON(STREAMS))
{
	struct link *link = scene_open(s, READS);
	struct op ops[READS];
	char bytes[READS];
	unsigned int fed = 0;

	for (unsigned int i = 0; i < READS; i++) {
		read_start(&s->ring, &ops[i], link->afd_in, &bytes[i], 1);
		if (i % 3)
			peer_write(link, &"abcdefghijkl"[fed++], 1);
	}
	while (fed < READS)
		peer_write(link, &"abcdefghijkl"[fed++], 1);
	for (unsigned int i = 0; i < READS; i++) {
		CHECK_EQ(await(&s->ring, &ops[i]), 1);
		CHECK_EQ(bytes[i], "abcdefghijkl"[i]);
	}
	HERE();
	check_order(ops, READS);
}

TEST_CASE(writes_complete_in_the_order_of_submission, ON(PARKABLE))
{
	struct link *link = scene_open(s, READS);
	size_t full = link_fill(link, s->kind), at = 0;
	struct op ops[READS];
	char *got = malloc(full + READS);

	CHECK(got);
	for (unsigned int i = 0; i < READS; i++)
		write_start(&s->ring, &ops[i], link->afd_out, &"abcdefghijkl"[i], 1);
	while (at < full + READS) {
		CHECK(is_readable(link->peer_in, 10000));
		at += peer_read_some(link, got + at, full + READS - at);
		collect(&s->ring, 0);
	}
	CHECK(memcmp(got + full, "abcdefghijkl", READS) == 0);
	for (unsigned int i = 0; i < READS; i++)
		CHECK_EQ(await(&s->ring, &ops[i]), 1);
	HERE();
	check_order(ops, READS);
	free(got);
}

/* Whatever is cancelled, the rest keeps its order, and a cancelled first is not waited for. */
TEST_CASE(cancelled_ones_leave_the_order, ON(STREAMS))
{
	struct link *link = scene_open(s, READS);
	struct op ops[READS], rest[READS];
	char bytes[READS] = {0};
	unsigned int n = 0;

	for (unsigned int i = 0; i < READS; i++)
		read_start(&s->ring, &ops[i], link->afd_in, &bytes[i], 1);
	for (unsigned int i = 0; i < READS; i += 2)
		CHECK_EQ(op_cancel(&s->ring, &ops[i]), 0);
	for (unsigned int i = 0; i < READS; i += 2)
		CHECK_EQ(await(&s->ring, &ops[i]), -ECANCELED);
	peer_write(link, "abcdef", READS / 2);
	for (unsigned int i = 1; i < READS; i += 2) {
		CHECK_EQ(await(&s->ring, &ops[i]), 1);
		CHECK_EQ(bytes[i], "abcdef"[i / 2]);
		rest[n++] = ops[i];
	}
	HERE();
	check_order(rest, n);
}

/* Hooked on the socket each for itself, 1,999 were woken in vain, and the last submitted was served first. */
TEST_CASE(a_datagram_wakes_one_of_a_herd, ON(NONE))
{
	struct sockaddr_in ours, theirs;
	int fd = scratch_udp(&ours), peer = scratch_udp(&theirs), proxy = proxy_make(s, fd);
	struct op *ops = calloc(HERD, sizeof(*ops));
	uint64_t vain;
	char bytes[HERD];

	CHECK(ops);
	scene_ring(s, HERD);
	for (unsigned int i = 0; i < HERD; i++)
		read_start(&s->ring, &ops[i], proxy, &bytes[i], 1);
	stay_quiet(&s->ring);
	vain = counter_get("spurious_wakeups");
	for (unsigned int i = 0; i < 3; i++) {
		SYS(sendto(peer, "x", 1, 0, (struct sockaddr *)&ours, sizeof(ours)));
		CHECK_EQ(await(&s->ring, &ops[i]), 1);
	}
	/* After each datagram the next in line is tried, for there might be another. */
	CHECK(counter_get("spurious_wakeups") - vain <= 3);
	CHECK_EQ(proxy_cancel(proxy), HERD - 3);
	for (unsigned int i = 3; i < HERD; i++)
		CHECK_EQ(await(&s->ring, &ops[i]), -ECANCELED);
	close(proxy);
	close(peer);
	close(fd);
	free(ops);
}

/* recv(2) gives 0 then, but poll(2) says ready and a receive that may not wait says EAGAIN for ever. */
TEST_CASE(a_datagram_socket_that_is_shut_for_reading_is_at_its_end, ON(NONE))
{
	struct sockaddr_in ours, theirs;
	int fd = scratch_udp(&ours), peer = scratch_udp(&theirs), proxy;
	struct op before, after;
	char byte;

	SYS(connect(fd, (struct sockaddr *)&theirs, sizeof(theirs)));
	proxy = proxy_make(s, fd);
	scene_ring(s, 2);
	read_start(&s->ring, &before, proxy, &byte, 1);
	stay_quiet(&s->ring);
	SYS(shutdown(fd, SHUT_RD));
	CHECK_EQ(await(&s->ring, &before), 0);
	op_read(&after, proxy, &byte, 1);
	CHECK_EQ(op_try(&s->ring, &after), 1);
	CHECK_EQ(await(&s->ring, &after), 0);
	close(proxy);
	close(peer);
	close(fd);
}
