/* SPDX-License-Identifier: MIT */
/*
 * Cancel asks for an event sooner: it returns nothing by itself, loses nothing and adds nothing.
 */
#include "suite.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define POISON 0x5a

TEST_CASE(cancel_at_once_gives_one_event, ON(WAITING), AS(CASE_VARIANTS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;

	for (int i = 0; i < 200; i++) {
		read_start(s, &op, link->afd_in, &byte, 1);
		CHECK_EQ(op_cancel(s, &op), 0);
		CHECK_EQ(taio_inflight(s->ring), 1); /* until the event is handed out */
		CHECK_EQ(await(s, &op), -ECANCELED);
	}
	stay_quiet(s);
}

TEST_CASE(cancel_while_waiting_gives_ecanceled, ON(WAITING), AS(CASE_VARIANTS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;

	for (int i = 0; i < 5; i++) {
		read_start(s, &op, link->afd_in, &byte, 1);
		stay_quiet(s);
		CHECK_EQ(op_cancel(s, &op), 0);
		CHECK_EQ(await(s, &op), -ECANCELED);
	}
	stay_quiet(s);
}

TEST_CASE(cancelled_read_takes_no_later_data, ON(WAITING))
{
	char cancelled[8], buf[8] = "";
	struct link *link = scene_open(s, 8);
	struct op op;

	memset(cancelled, POISON, sizeof(cancelled));
	read_start(s, &op, link->afd_in, cancelled, sizeof(cancelled));
	stay_quiet(s);
	CHECK_EQ(op_cancel(s, &op), 0);
	CHECK_EQ(await(s, &op), -ECANCELED);
	peer_write(link, "later", 5);
	stay_quiet(s);
	read_start(s, &op, link->afd_in, buf, sizeof(buf));
	CHECK_EQ(await(s, &op), 5);
	CHECK_EQ(memcmp(buf, "later", 5), 0);
	for (size_t i = 0; i < sizeof(cancelled); i++)
		CHECK_EQ(cancelled[i], POISON);
}

/* taio_fd() says that there may be an event: the cancel may come in time or too late. */
TEST_CASE(cancel_of_a_finished_op_adds_no_event, ON(WAITING), AS(CASE_VARIANTS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;

	for (int i = 0; i < 50; i++) {
		int ret;

		read_start(s, &op, link->afd_in, &byte, 1);
		CHECK_EQ(collect(s, 0), 0);
		peer_write(link, "x", 1);
		CHECK(is_readable(taio_fd(s->ring), 5000));
		ret = op_cancel(s, &op);
		if (await(s, &op) == -ECANCELED) {
			CHECK_EQ(ret, 0);
			read_start(s, &op, link->afd_in, &byte, 1);
			await(s, &op);
		}
		CHECK_EQ(op.res, 1);
	}
	stay_quiet(s);
}

TEST_CASE(cancel_of_a_reaped_op_is_enoent, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;

	op_read(&op, link->afd_in, &byte, 1);
	CHECK_EQ(op_cancel(s, &op), -ENOENT); /* never submitted */
	op_start(s, &op);
	peer_write(link, "x", 1);
	CHECK_EQ(await(s, &op), 1);
	CHECK_EQ(op_cancel(s, &op), -ENOENT);
	read_start(s, &op, link->afd_in, &byte, 1);
	CHECK_EQ(op_cancel(s, &op), 0);
	CHECK_EQ(await(s, &op), -ECANCELED);
	CHECK_EQ(op_cancel(s, &op), -ENOENT);
	stay_quiet(s);
}

TEST_CASE(second_cancel_adds_no_event, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;

	for (int i = 0; i < 50; i++) {
		read_start(s, &op, link->afd_in, &byte, 1);
		if (i % 8 == 0)
			stay_quiet(s);
		CHECK_EQ(op_cancel(s, &op), 0);
		op_cancel(s, &op);
		op_cancel(s, &op);
		CHECK_EQ(await(s, &op), -ECANCELED);
	}
	stay_quiet(s);
}

TEST_CASE(cancel_of_a_waiting_write, ON(WAITING))
{
	static char out[16384], in[1 << 20];
	struct link *link = scene_open(s, 8);
	size_t filled, got = 0;
	struct op op;

	filled = fill(s, link, 0, 1);
	CHECK(filled <= sizeof(in));
	memset(out, POISON, sizeof(out));
	write_start(s, &op, link->afd_out, out, sizeof(out));
	stay_quiet(s);
	CHECK_EQ(op_cancel(s, &op), 0);
	CHECK_EQ(await(s, &op), -ECANCELED);
	while (got < filled) { /* what was written before arrives, nothing of the cancelled write does */
		peer_read(link, in + got, 1);
		got += 1 + peer_read_some(link, in + got + 1, sizeof(in) - got - 1);
	}
	CHECK_EQ(got, filled);
	pattern_check(in, filled, 0, 1);
	CHECK(!is_readable(link->peer_in, 20));
	write_start(s, &op, link->afd_out, "on", 2);
	CHECK_EQ(await(s, &op), 2);
	peer_read(link, in, 2);
	CHECK_EQ(memcmp(in, "on", 2), 0);
}

TEST_CASE(cancel_of_one_leaves_the_others, ON(WAITING))
{
	enum { READS = 5, CANCELLED = 2 };
	struct op ops[READS];
	char bytes[READS];
	struct link *link = scene_open(s, 8);

	for (unsigned int i = 0; i < READS; i++)
		read_start(s, &ops[i], link->afd_in, &bytes[i], 1);
	stay_quiet(s);
	CHECK_EQ(op_cancel(s, &ops[CANCELLED]), 0);
	CHECK_EQ(await(s, &ops[CANCELLED]), -ECANCELED);
	stay_quiet(s);
	peer_write(link, "abcd", READS - 1);
	await_all(s, ops, READS);
	for (unsigned int i = 0; i < READS; i++)
		CHECK_EQ(ops[i].res, i == CANCELLED ? -ECANCELED : 1);
	stay_quiet(s);
}

TEST_CASE(cancel_of_a_waiting_poll, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;

	for (int i = 0; i < 5; i++) {
		op_poll(&op, link->afd_in, POLLIN);
		op_start(s, &op);
		if (i & 1)
			stay_quiet(s);
		CHECK_EQ(op_cancel(s, &op), 0);
		CHECK_EQ(await(s, &op), -ECANCELED);
	}
	peer_write(link, "x", 1);
	stay_quiet(s);
}

/* Reads wait on many links and are cancelled in a different order from that of submission. */
TEST_CASE(cancel_of_a_herd_gives_each_its_event, ON(WAITING), AS(CASE_VARIANTS))
{
	enum { LINKS = 40, PER_LINK = 4, OPS = LINKS * PER_LINK };
	static struct op ops[OPS];
	static char bytes[OPS];

	scene_ring(s, OPS, 0);
	for (unsigned int i = 0; i < LINKS; i++)
		scene_link(s);
	for (unsigned int turn = 0; turn < 5; turn++) {
		for (unsigned int i = 0; i < OPS; i++)
			read_start(s, &ops[i], s->links[i % LINKS]->afd_in, &bytes[i], 1);
		if (turn & 1)
			stay_quiet(s);
		for (unsigned int i = 0; i < OPS; i++)
			CHECK_EQ(op_cancel(s, &ops[i * 37 % OPS]), 0); /* 37 and OPS share no factor */
		await_all(s, ops, OPS);
		for (unsigned int i = 0; i < OPS; i++)
			CHECK_EQ(ops[i].res, -ECANCELED);
	}
	stay_quiet(s);
}

/* No trace of the cancel, such as a signal or a mark, may hit the next operation with the same iocb. */
TEST_CASE(cancelled_iocb_can_be_used_again, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte = 0;

	for (int i = 0; i < 300; i++) {
		read_start(s, &op, link->afd_in, &byte, 1);
		if (i % 50 == 0)
			stay_quiet(s);
		CHECK_EQ(op_cancel(s, &op), 0);
		CHECK_EQ(await(s, &op), -ECANCELED);
		read_start(s, &op, link->afd_in, &byte, 1);
		if (i % 50 == 25)
			stay_quiet(s);
		peer_write(link, "y", 1);
		CHECK_EQ(await(s, &op), 1);
		CHECK_EQ(byte, 'y');
	}
	stay_quiet(s);
}
