/* SPDX-License-Identifier: MIT */
/*
 * Operations beside others on the same descriptor. A transfer may wait behind one of its own direction, and
 * for nothing else: where a call would answer at once it is an event as soon as it is first in line, whether
 * the file ever becomes ready or not.
 */
#include "kinds.h"
#include "suite.h"

#include "tests/case/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* Of the ring: the engine's own number, and so few that none is free. */
static const unsigned int helper_counts[] = {0, 2};

static int attach(struct scene *s, const struct pair *pair)
{
	return SYS(taio_attach(s->ring, pair->fd, TAIO_CLASS_ASK));
}

/* @events: of the poll, and the direction of the transfer, which is too short for an eventfd. */
static void transfer_beside_poll(struct scene *s, struct pair pair, int events, long want)
{
	int afd = attach(s, &pair);
	char buf[4] = "";
	struct op poll, op;

	op_poll(&poll, afd, events);
	op_start(s, &poll);
	if (events == POLLIN)
		read_start(s, &op, afd, buf, sizeof(buf));
	else
		write_start(s, &op, afd, buf, sizeof(buf));
	CHECK_EQ(await(s, &op), want);
	CHECK_EQ(op_cancel(s, &poll), 0);
	CHECK_EQ(await(s, &poll), -ECANCELED);
	taio_detach(s->ring, afd);
	pair_close(pair);
}

/* A poll takes no data, so that nothing can overtake it. */
TEST_CASE(a_poll_that_waits_holds_up_no_transfer, ON(NONE))
{
	for (unsigned int i = 0; i < ARRAY_LEN(helper_counts); i++) {
		scene_ring(s, 8, helper_counts[i]);
		transfer_beside_poll(s, event_empty(), POLLIN, -EINVAL);
		transfer_beside_poll(s, event_full(), POLLOUT, -EINVAL);
		transfer_beside_poll(s, pipe_writer(), POLLIN, -EBADF);
		scene_close_ring(s);
	}
}

/* The first of three waits, the second is answered at once when its turn comes, the third waits. */
static void cancel_first_of_three(struct scene *s, struct pair pair, int direction)
{
	uint64_t bufs[] = {1, 1, 1};
	int afd = attach(s, &pair);
	struct op ops[3];

	for (unsigned int i = 0; i < ARRAY_LEN(ops); i++) {
		size_t nbytes = i == 1 ? 4 : sizeof(bufs[i]);

		if (direction == POLLIN)
			read_start(s, &ops[i], afd, &bufs[i], nbytes);
		else
			write_start(s, &ops[i], afd, &bufs[i], nbytes);
	}
	CHECK_EQ(op_cancel(s, &ops[0]), 0);
	CHECK_EQ(await(s, &ops[0]), -ECANCELED);
	CHECK_EQ(await(s, &ops[1]), -EINVAL);
	stay_quiet(s);
	CHECK_EQ(op_cancel(s, &ops[2]), 0);
	CHECK_EQ(await(s, &ops[2]), -ECANCELED);
	taio_detach(s->ring, afd);
	pair_close(pair);
}

TEST_CASE(cancel_of_the_first_gives_the_next_its_turn, ON(NONE), AS(CASE_VARIANTS))
{
	for (unsigned int i = 0; i < ARRAY_LEN(helper_counts); i++) {
		scene_ring(s, 8, helper_counts[i]);
		cancel_first_of_three(s, event_empty(), POLLIN);
		cancel_first_of_three(s, event_full(), POLLOUT);
		scene_close_ring(s);
	}
}

/* Of no bytes: not held up by what is full, only by the writes before it. */
TEST_CASE(an_empty_write_waits_for_its_turn_only, ON(STREAMS))
{
	struct link *link = scene_open(s, 8);
	struct op first, empty;

	fill(s, link, 0, 1);
	write_start(s, &empty, link->afd_out, "", 0);
	CHECK_EQ(await(s, &empty), 0);
	write_start(s, &first, link->afd_out, "first", 5);
	write_start(s, &empty, link->afd_out, "", 0);
	CHECK_EQ(op_cancel(s, &first), 0);
	CHECK_EQ(await(s, &first), -ECANCELED);
	CHECK_EQ(await(s, &empty), 0);
}

/*
 * The first may be cancelled while it is tried: it is again and again as long as the eventfd is ready for
 * less. Then it is full, and nothing would draw attention to the second.
 */
static void cancel_while_tried(struct scene *s, int afd, int fd, long turns)
{
	const uint64_t room = UINT64_MAX - 3, two = 2, three = 3;
	struct op first, second;
	uint64_t count;

	CHECK_EQ(write(fd, &room, sizeof(room)), sizeof(room));
	write_start(s, &first, afd, &three, sizeof(three));
	write_start(s, &second, afd, &three, 4);
	spin(turns);
	CHECK_EQ(write(fd, &two, sizeof(two)), sizeof(two));
	CHECK_EQ(op_cancel(s, &first), 0);
	CHECK_EQ(await(s, &second), -EINVAL);
	CHECK_EQ(await(s, &first), -ECANCELED);
	CHECK_EQ(read(fd, &count, sizeof(count)), sizeof(count));
}

TEST_CASE(cancel_of_the_first_while_it_is_tried, ON(NONE), AS(CASE_RACE))
{
	for (unsigned int i = 0; i < ARRAY_LEN(helper_counts); i++) {
		struct pair pair = event_empty();
		int afd;

		scene_ring(s, 8, helper_counts[i]);
		afd = attach(s, &pair);
		for (long round = 0; round < s->rounds / 20; round++)
			cancel_while_tried(s, afd, pair.fd, round % 64 * 256);
		scene_close_ring(s);
		pair_close(pair);
	}
}

/* A read takes long enough for a write to come while it moves data. */
static void write_while_moving(struct scene *s, int afd, int peer)
{
	enum { NBYTES = 1 << 20 };
	static char out[NBYTES], in[NBYTES];
	struct op moving, wrong;

	read_start(s, &moving, afd, in, sizeof(in));
	CHECK_EQ(write(peer, out, sizeof(out)), sizeof(out));
	do {
		write_start(s, &wrong, afd, out, 1);
		CHECK_EQ(await(s, &wrong), -EBADF);
	} while (!moving.events);
	CHECK_EQ(moving.res, NBYTES);
}

TEST_CASE(a_transfer_that_moves_holds_up_no_other_direction, ON(NONE), AS(CASE_RACE))
{
	for (unsigned int i = 0; i < ARRAY_LEN(helper_counts); i++) {
		struct pair reader = pipe_reader();
		int afd;

		if (fcntl(reader.fd, F_SETPIPE_SZ, 1 << 20) < 0)
			skip("no pipe of 1 MiB: %m");
		scene_ring(s, 8, helper_counts[i]);
		afd = attach(s, &reader);
		for (int round = 0; round < 100; round++)
			write_while_moving(s, afd, reader.other);
		scene_close_ring(s);
		pair_close(reader);
	}
}
