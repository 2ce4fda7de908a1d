/* SPDX-License-Identifier: MIT */
/*
 * Descriptors closed under operations in flight: the proxy keeps the file, and an operation keeps the proxy.
 * Reads wait on each link when its descriptors go; what they give, and when the file goes, tells who held
 * what.
 */
#include "kmod.h"
#include "tests/case/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define READS  3
#define END_MS 20000
#define NBYTES 16

struct reads {
	struct op ops[READS];
	char bufs[READS][NBYTES];
};

static void reads_start(struct scene *s, struct reads *reads, int proxy)
{
	for (unsigned int i = 0; i < READS; i++)
		read_start(&s->ring, &reads->ops[i], proxy, reads->bufs[i], NBYTES);
	stay_quiet(&s->ring);
}

/* A ring and a link on which they wait. */
static struct link *reads_begin(struct scene *s, struct reads *reads)
{
	struct link *link = scene_open(s, READS);

	reads_start(s, reads, link->afd_in);
	return link;
}

/* Takes whatever is there; the index of a read that has ended, or -1. */
static int reads_ended(struct reads *reads)
{
	for (unsigned int i = 0; i < READS; i++)
		if (reads->ops[i].events)
			return (int)i;
	return -1;
}

/* A message at a time, each for one of the reads, whichever: together they get the stream, byte for byte. */
static void reads_deliver(struct scene *s, struct reads *reads, struct link *link)
{
	char buf[NBYTES];

	for (unsigned int round = 0; round < READS; round++) {
		int64_t until = now_ms() + END_MS;
		int i;

		pattern_fill(buf, NBYTES, round * NBYTES, 6);
		peer_write(link, buf, NBYTES);
		while ((i = reads_ended(reads)) < 0) {
			CHECK(now_ms() < until);
			collect(&s->ring, 1000);
		}
		CHECK_EQ(reads->ops[i].res, NBYTES);
		pattern_check(reads->bufs[i], NBYTES, round * NBYTES, 6);
		reads->ops[i].events = 0;
	}
}

/* The far end sees that nobody holds the near one any more. */
static void check_file_gone(struct link *link, enum link_kind kind)
{
	int64_t until = now_ms() + END_MS;
	char byte = 0;

	if (kind == LINK_PIPE) {
		while (write(link->peer_out, &byte, 1) == 1 && now_ms() < until)
			pause_ms(1);
		CHECK_EQ(errno, EPIPE);
		return;
	}
	CHECK(is_readable(link->peer_in, END_MS));
	CHECK(read(link->peer_in, &byte, 1) <= 0); /* the end; -EIO of a terminal; a reset if data was left */
}

static void near_close(struct link *link)
{
	if (link->out != link->in)
		fd_close(&link->out);
	fd_close(&link->in);
	link->out = -1;
}

TEST_CASE(close_of_target_ends_nothing, ON(STREAMS))
{
	struct reads reads;
	struct link *link = reads_begin(s, &reads);

	near_close(link);
	stay_quiet(&s->ring);
	reads_deliver(s, &reads, link);
	/* And the proxy goes on being what it was. */
	reads_start(s, &reads, link->afd_in);
	reads_deliver(s, &reads, link);
}

TEST_CASE(close_of_proxy_ends_nothing, ON(STREAMS))
{
	struct reads reads;
	struct link *link = reads_begin(s, &reads);
	char byte = 0;

	link_detach(link);
	stay_quiet(&s->ring);
	reads_deliver(s, &reads, link);
	/* And the file goes on without a proxy. */
	peer_write(link, "z", 1);
	fd_read(link->in, &byte, 1);
	CHECK_EQ(byte, 'z');
}

TEST_CASE(close_of_both_ends_nothing, ON(STREAMS))
{
	struct reads reads;
	struct link *link = reads_begin(s, &reads);

	link_detach(link);
	near_close(link);
	stay_quiet(&s->ring);
	reads_deliver(s, &reads, link);
	check_file_gone(link, s->kind);
}

TEST_CASE(close_of_both_then_cancel_lets_the_file_go, ON(PARKABLE))
{
	struct reads reads;
	struct link *link = reads_begin(s, &reads);

	link_detach(link);
	near_close(link);
	for (unsigned int i = 0; i < READS; i++) {
		CHECK_EQ(op_cancel(&s->ring, &reads.ops[i]), 0);
		CHECK_EQ(await(&s->ring, &reads.ops[i]), -ECANCELED);
	}
	check_file_gone(link, s->kind);
}

/* The end of the stream; a terminal's is a hang-up, which a read that waits sees early (-EIO) or late (0). */
TEST_CASE(close_of_peer_ends_reads, ON(STREAMS))
{
	struct reads reads;
	struct link *link = reads_begin(s, &reads);

	link_peer_close(link);
	for (unsigned int i = 0; i < READS; i++)
		if (await(&s->ring, &reads.ops[i]) != -EIO || s->kind != LINK_TTY)
			CHECK_EQ(reads.ops[i].res, 0);
}

/* No room, and then nobody who could make any. */
TEST_CASE(close_of_peer_ends_writes, ON(PARKABLE))
{
	static char buf[1 << 20];
	struct op ops[READS];
	struct link *link = scene_open(s, READS);
	long total = 0;

	for (unsigned int i = 0; i < READS; i++)
		write_start(&s->ring, &ops[i], link->afd_out, buf, sizeof(buf));
	pause_ms(20);
	link_peer_close(link);
	for (unsigned int i = 0; i < READS; i++) {
		long res = await(&s->ring, &ops[i]);

		if (res != -EPIPE && res != -ECONNRESET)
			CHECK(res > 0 && res < (long)sizeof(buf));
		total += res > 0 ? res : 0;
	}
	note("%ld bytes were written before", total);
}

static void write_to_closed(struct gate *gate, long round)
{
	peer_write(gate->arg, "c", 1);
}

/* The last references to proxy and file go by the completion, or by close(2), whichever comes later. */
TEST_CASE(close_raced_with_data, ON(PARKABLE), AS(CASE_LONG))
{
	struct gate gate = {.rounds = s->rounds / 40, .step = write_to_closed, .s = s};
	struct link *link;
	struct op op;
	char byte;

	scene_ring(s, 1);
	gate.arg = link = scene_link(s);
	gate_start(&gate);
	for (long round = 1; round <= gate.rounds; round++) {
		read_start(&s->ring, &op, link->afd_in, &byte, 1);
		gate_open(&gate, round, (long)random_below(1UL << random_below(14)));
		link_detach(link);
		near_close(link);
		CHECK_EQ(await(&s->ring, &op), 1);
		CHECK_EQ(byte, 'c');
		gate_pass(&gate, round);
		link_renew(s, link);
	}
	gate_join(&gate);
	note("%ld rounds", gate.rounds);
}
