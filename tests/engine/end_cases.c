/* SPDX-License-Identifier: MIT */
/*
 * The peer closes both directions or one, in order or by a reset.
 */
#include "suite.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

static bool is_gone(long res)
{
	return res == -EPIPE || res == -ECONNRESET;
}

TEST_CASE(peer_close_ends_waiting_read_with_zero, ON(STREAMS), AS(CASE_VARIANTS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;

	for (int i = 0; i < 2; i++) { /* while it waits, and once more from the start */
		read_start(s, &op, link->afd_in, &byte, 1);
		if (i == 0) {
			stay_quiet(s);
			link_peer_close(link);
		}
		CHECK_EQ(await(s, &op), 0);
	}
	stay_quiet(s);
}

TEST_CASE(peer_close_after_data_gives_data_then_zero, ON(STREAMS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char buf[8];

	read_start(s, &op, link->afd_in, buf, sizeof(buf));
	peer_write(link, "bye", 3);
	link_peer_close(link);
	CHECK_EQ(await(s, &op), 3);
	read_start(s, &op, link->afd_in, buf, sizeof(buf));
	CHECK_EQ(await(s, &op), 0);
	stay_quiet(s);
}

TEST_CASE(write_to_closed_peer_fails, ON(STREAMS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	int tries = 0;

	link_peer_close(link);
	do { /* TCP learns of it by the answer to the first write */
		write_start(s, &op, link->afd_out, "x", 1);
		CHECK(tries++ < 100);
	} while (await(s, &op) == 1);
	CHECK(is_gone(op.res));
	stay_quiet(s);
}

TEST_CASE(peer_close_ends_waiting_write, ON(STREAMS))
{
	static char buf[65536];
	struct link *link = scene_open(s, 8);
	struct op op;

	fill(s, link, 0, 0);
	write_start(s, &op, link->afd_out, buf, sizeof(buf));
	stay_quiet(s);
	link_peer_close(link);
	CHECK(is_gone(await(s, &op)));
	stay_quiet(s);
}

TEST_CASE(reset_ends_waiting_read, ON(TCP))
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;

	read_start(s, &op, link->afd_in, &byte, 1);
	stay_quiet(s);
	CHECK_EQ(setsockopt(link->peer_out, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	link_peer_close(link);
	CHECK_EQ(await(s, &op), -ECONNRESET);
	write_start(s, &op, link->afd_out, "x", 1);
	CHECK(is_gone(await(s, &op)));
	stay_quiet(s);
}

TEST_CASE(half_close_leaves_the_other_direction, ON(SOCKETS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte = 0;

	read_start(s, &op, link->afd_in, &byte, 1);
	stay_quiet(s);
	CHECK_EQ(shutdown(link->peer_out, SHUT_WR), 0);
	CHECK_EQ(await(s, &op), 0);
	for (char c = 'a'; c < 'e'; c++) {
		write_start(s, &op, link->afd_out, &c, 1);
		CHECK_EQ(await(s, &op), 1);
		peer_read(link, &byte, 1);
		CHECK_EQ(byte, c);
	}
	stay_quiet(s);
}

/*
 * A peer that is gone stays readable and hung up for ever: only an operation that waits may cause wake-ups.
 */
TEST_CASE(peer_close_without_ops_does_not_spin, ON(STREAMS))
{
	struct io_event event;
	struct link *link = scene_open(s, 8);
	struct op op;
	int wakes = 0;
	char byte;

	read_start(s, &op, link->afd_in, &byte, 1);
	link_peer_close(link);
	CHECK_EQ(await(s, &op), 0);
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(taio_reap(s->ring, 1, &event), 0);
		wakes += is_readable(taio_fd(s->ring), 2);
	}
	CHECK(wakes <= 1);
}

/* Between the master's close and the hang-up that follows, reading the terminal is -EIO, after it 0. */
TEST_CASE(hangup_ends_waiting_ops_of_a_terminal, ON(TTY), AS(CASE_VARIANTS))
{
	struct op read_op, poll_op, write_op;
	struct link *link = scene_open(s, 8);
	char byte;

	read_start(s, &read_op, link->afd_in, &byte, 1);
	op_poll(&poll_op, link->afd_in, POLLIN);
	op_start(s, &poll_op);
	stay_quiet(s);
	link_peer_close(link);
	await(s, &read_op);
	CHECK(read_op.res == 0 || read_op.res == -EIO);
	CHECK(await(s, &poll_op) & POLLHUP);
	write_start(s, &write_op, link->afd_out, "x", 1);
	CHECK_EQ(await(s, &write_op), -EIO);
	stay_quiet(s);
}
