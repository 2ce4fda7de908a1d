/* SPDX-License-Identifier: MIT */
/*
 * All bytes arrive, once and in order.
 */
#include "suite.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define MANY_LINKS 64

TEST_CASE(read_of_waiting_data_completes_once, ON(WAITING), AS(CASE_VARIANTS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char buf[64] = "";

	peer_write(link, "hello", 5);
	read_start(s, &op, link->afd_in, buf, sizeof(buf));
	CHECK_EQ(taio_inflight(s->ring), 1);
	CHECK_EQ(await(s, &op), 5);
	CHECK_EQ(memcmp(buf, "hello\0", 6), 0);
	CHECK_EQ(taio_inflight(s->ring), 0);
	stay_quiet(s);
}

TEST_CASE(read_completes_once_when_data_arrives, ON(WAITING), AS(CASE_VARIANTS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char buf[64] = "";

	for (int i = 0; i < 3; i++) {
		read_start(s, &op, link->afd_in, buf, sizeof(buf));
		stay_quiet(s);
		CHECK_EQ(taio_inflight(s->ring), 1);
		peer_write(link, "late", 4);
		CHECK_EQ(await(s, &op), 4);
		CHECK_EQ(memcmp(buf, "late", 4), 0);
	}
	stay_quiet(s);
}

TEST_CASE(write_completes_once, ON(WAITING), AS(CASE_VARIANTS))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char buf[5];

	write_start(s, &op, link->afd_out, "hello", 5);
	CHECK_EQ(await(s, &op), 5);
	peer_read(link, buf, 5);
	CHECK_EQ(memcmp(buf, "hello", 5), 0);
	stay_quiet(s);
}

TEST_CASE(vectors_scatter_and_gather, ON(WAITING))
{
	char out[700], a[1] = "", b[300] = "", c[1000] = "";
	struct iovec parts[] = {{out, 3}, {out + 3, 0}, {out + 3, 697}};
	struct iovec into[] = {{a, sizeof(a)}, {NULL, 0}, {b, sizeof(b)}, {c, sizeof(c)}};
	struct link *link = scene_open(s, 8);
	struct op op;

	pattern_fill(out, sizeof(out), 0, 1);
	op_writev(&op, link->afd_out, parts, ARRAY_LEN(parts));
	op_start(s, &op);
	CHECK_EQ(await(s, &op), 700);
	peer_read(link, out, 700);
	pattern_check(out, 700, 0, 1);

	op_readv(&op, link->afd_in, into, ARRAY_LEN(into));
	op_start(s, &op);
	peer_write(link, out, 700);
	CHECK_EQ(await(s, &op), 700);
	pattern_check(a, 1, 0, 1);
	pattern_check(b, 300, 1, 1);
	pattern_check(c, 399, 301, 1);
	CHECK_EQ(c[399], 0);
	stay_quiet(s);
}

/* Like read(2) and write(2) of no bytes, the operation returns 0 without waiting. */
TEST_CASE(zero_length_completes_with_zero, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte = 0;

	write_start(s, &op, link->afd_out, &byte, 0);
	CHECK_EQ(await(s, &op), 0);
	read_start(s, &op, link->afd_in, &byte, 0);
	CHECK_EQ(await(s, &op), 0);

	peer_write(link, "x", 1);
	read_start(s, &op, link->afd_in, &byte, 0);
	CHECK_EQ(await(s, &op), 0);
	read_start(s, &op, link->afd_in, &byte, 1);
	CHECK_EQ(await(s, &op), 1);
	CHECK_EQ(byte, 'x');
	stay_quiet(s);
}

/* A read and a write on each link in one batch, all in flight together, for several turns. */
TEST_CASE(many_ops_on_many_links_complete_once, ON(WAITING), AS(CASE_VARIANTS))
{
	static struct op reads[MANY_LINKS], writes[MANY_LINKS];
	static char in[MANY_LINKS], out[MANY_LINKS];
	struct iocb *iocbs[2 * MANY_LINKS];
	char byte;

	scene_ring(s, 2 * MANY_LINKS, 0);
	for (unsigned int i = 0; i < MANY_LINKS; i++)
		scene_link(s);
	for (unsigned int turn = 0; turn < 5; turn++) {
		for (unsigned int i = 0; i < MANY_LINKS; i++) {
			out[i] = (char)(turn + i);
			op_read(&reads[i], s->links[i]->afd_in, &in[i], 1);
			op_write(&writes[i], s->links[i]->afd_out, &out[i], 1);
			iocbs[2 * i] = &reads[i].iocb;
			iocbs[2 * i + 1] = &writes[i].iocb;
		}
		CHECK_EQ(taio_submit(s->ring, 2 * MANY_LINKS, iocbs), 2 * MANY_LINKS);
		for (unsigned int i = MANY_LINKS; i-- > 0;) {
			peer_read(s->links[i], &byte, 1); /* the echo: what the write brought */
			peer_write(s->links[i], &byte, 1);
		}
		await_all(s, reads, MANY_LINKS);
		await_all(s, writes, MANY_LINKS);
		for (unsigned int i = 0; i < MANY_LINKS; i++) {
			CHECK_EQ(reads[i].res, 1);
			CHECK_EQ(writes[i].res, 1);
			CHECK_EQ(in[i], out[i]);
		}
	}
	stay_quiet(s);
}

/*
 * The contract does not say which of several waiting reads gets the next bytes. It says that each byte goes
 * to one of them, and a read returns what is one piece of the stream.
 */
TEST_CASE(several_reads_share_a_link_without_loss, ON(WAITING), AS(CASE_VARIANTS))
{
	enum { READS = 12, CHUNK = 97 };
	static struct op ops[READS];
	static uint16_t in[READS][4 * CHUNK];
	static bool seen[READS * CHUNK];
	size_t sent = 0, received = 0;
	struct link *link = scene_open(s, READS);

	for (unsigned int i = 0; i < READS; i++)
		read_start(s, &ops[i], link->afd_in, in[i], sizeof(in[i]));
	/* As many chunks as reads; between two, wait until all that was sent has been read. */
	while (taio_inflight(s->ring)) {
		uint16_t chunk[CHUNK];

		for (unsigned int i = 0; i < CHUNK; i++)
			chunk[i] = (uint16_t)(sent + i);
		peer_write(link, chunk, sizeof(chunk));
		sent += CHUNK;
		CHECK(sent <= READS * CHUNK);
		while (received < sent) {
			collect(s, -1);
			received = 0;
			for (unsigned int i = 0; i < READS; i++)
				received += ops[i].events ? (size_t)ops[i].res / 2 : 0;
		}
	}
	CHECK_EQ(received, sent);
	for (unsigned int i = 0; i < READS; i++) {
		CHECK(ops[i].res > 0 && ops[i].res % 2 == 0);
		for (long j = 0; j < ops[i].res / 2; j++) {
			CHECK_EQ(in[i][j], in[i][0] + j);
			CHECK(!seen[in[i][j]]);
			seen[in[i][j]] = true;
		}
	}
	stay_quiet(s);
}

#define DUPLEX_NBYTES ((uint64_t)4 * 1024 * 1024 + 12345)
#define DUPLEX_MAX    131072

static const size_t odd_sizes[] = {1, 65537, 3, 4095, 17, 131071, 4097, 511, 1, 32768, 77777, 5};

static size_t odd_size(unsigned int *turn, uint64_t left)
{
	size_t nbytes = odd_sizes[(*turn)++ % ARRAY_LEN(odd_sizes)];

	return nbytes < left ? nbytes : (size_t)left;
}

static void *peer_send_stream(void *arg)
{
	char *buf = malloc(DUPLEX_MAX);
	uint64_t offset = 0;
	unsigned int turn = 3;

	while (offset < DUPLEX_NBYTES) {
		size_t nbytes = odd_size(&turn, DUPLEX_NBYTES - offset);

		pattern_fill(buf, nbytes, offset, 1);
		peer_write(arg, buf, nbytes);
		offset += nbytes;
	}
	free(buf);
	return NULL;
}

static void *peer_receive_stream(void *arg)
{
	char *buf = malloc(DUPLEX_MAX);
	uint64_t offset = 0;
	unsigned int turn = 7;

	while (offset < DUPLEX_NBYTES) {
		size_t nbytes = odd_size(&turn, DUPLEX_NBYTES - offset);

		peer_read(arg, buf, nbytes);
		pattern_check(buf, nbytes, offset, 2);
		offset += nbytes;
	}
	free(buf);
	return NULL;
}

/* One direction at the near end: an operation is in flight until the stream is complete. */
struct flow {
	struct op op;
	char *buf;
	uint64_t offset;
	unsigned int turn;
	size_t asked;
};

static void flow_read(struct scene *s, struct flow *flow, int afd)
{
	flow->asked = odd_size(&flow->turn, DUPLEX_NBYTES - flow->offset);
	read_start(s, &flow->op, afd, flow->buf, flow->asked);
}

static void flow_write(struct scene *s, struct flow *flow, int afd)
{
	flow->asked = odd_size(&flow->turn, DUPLEX_NBYTES - flow->offset);
	pattern_fill(flow->buf, flow->asked, flow->offset, 2);
	write_start(s, &flow->op, afd, flow->buf, flow->asked);
}

static bool flow_done(struct flow *flow)
{
	if (!flow->op.events)
		return false;
	CHECK(flow->op.res > 0);
	CHECK((size_t)flow->op.res <= flow->asked);
	flow->offset += (uint64_t)flow->op.res;
	return true;
}

TEST_CASE(duplex_streams_arrive_byte_exact, ON(WAITING), AS(CASE_VARIANTS))
{
	struct flow in = {.buf = malloc(DUPLEX_MAX)}, out = {.buf = malloc(DUPLEX_MAX), .turn = 5};
	pthread_t sender, receiver;
	struct link *link = scene_open(s, 8);

	CHECK_EQ(pthread_create(&sender, NULL, peer_send_stream, link), 0);
	CHECK_EQ(pthread_create(&receiver, NULL, peer_receive_stream, link), 0);
	flow_read(s, &in, link->afd_in);
	flow_write(s, &out, link->afd_out);
	while (taio_inflight(s->ring)) {
		collect(s, -1);
		if (flow_done(&in)) {
			pattern_check(in.buf, (size_t)in.op.res, in.offset - (uint64_t)in.op.res, 1);
			in.op.events = 0;
			if (in.offset < DUPLEX_NBYTES)
				flow_read(s, &in, link->afd_in);
		}
		if (flow_done(&out)) {
			out.op.events = 0;
			if (out.offset < DUPLEX_NBYTES)
				flow_write(s, &out, link->afd_out);
		}
	}
	CHECK_EQ(in.offset, DUPLEX_NBYTES);
	CHECK_EQ(out.offset, DUPLEX_NBYTES);
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	free(in.buf);
	free(out.buf);
	stay_quiet(s);
}

/* A write larger than every buffer: short counts or a long wait, never an error, and all of it arrives. */
TEST_CASE(write_waits_until_the_peer_reads, ON(WAITING), AS(CASE_VARIANTS))
{
	enum { TOTAL = 1 << 20 };
	char *out = malloc(TOTAL), *in = malloc(TOTAL);
	size_t written = 0, got = 0;
	struct link *link = scene_open(s, 8);
	struct op op;

	pattern_fill(out, TOTAL, 0, 3);
	do {
		write_start(s, &op, link->afd_out, out + written, TOTAL - written);
		while (!op.events && collect(s, 100))
			;
		written += op.events && op.res > 0 ? (size_t)op.res : 0;
	} while (op.events && op.res > 0);
	CHECK_EQ(op.events, 0); /* it waits, with the buffers full */
	CHECK(written < TOTAL);
	while (got < TOTAL) {
		got += peer_read_some(link, in + got, TOTAL - got);
		collect(s, 0);
		if (!op.events)
			continue;
		CHECK(op.res > 0 || written == TOTAL);
		written += (size_t)op.res;
		op.events = 0;
		op.res = 0;
		if (written < TOTAL)
			write_start(s, &op, link->afd_out, out + written, TOTAL - written);
	}
	while (taio_inflight(s->ring))
		collect(s, -1);
	pattern_check(in, TOTAL, 0, 3);
	free(out);
	free(in);
	stay_quiet(s);
}

TEST_CASE(nowait_turns_waiting_into_eagain, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char buf[16];

	op_read(&op, link->afd_in, buf, sizeof(buf));
	op.iocb.aio_rw_flags = RWF_NOWAIT;
	op_start(s, &op);
	CHECK_EQ(await(s, &op), -EAGAIN);

	peer_write(link, "now", 3);
	CHECK(is_readable(link->in, 5000)); /* the kernel delivers it to a terminal later */
	op_read(&op, link->afd_in, buf, sizeof(buf));
	op.iocb.aio_rw_flags = RWF_NOWAIT;
	op_start(s, &op);
	CHECK_EQ(await(s, &op), 3);
	CHECK(fill(s, link, 0, 0) > 0); /* ends at the write that says -EAGAIN */
	stay_quiet(s);
}

TEST_CASE(poll_completes_with_revents, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char buf[4];

	op_poll(&op, link->afd_in, POLLIN);
	op_start(s, &op);
	stay_quiet(s);
	peer_write(link, "data", 4);
	CHECK_EQ(await(s, &op), POLLIN); /* not what else is ready */
	stay_quiet(s);			 /* one shot, and nothing was consumed */
	read_start(s, &op, link->afd_in, buf, 4);
	CHECK_EQ(await(s, &op), 4);

	op_poll(&op, link->afd_in, POLLIN);
	op_start(s, &op);
	link_peer_close(link);
	CHECK(await(s, &op) & (POLLIN | POLLHUP));
	stay_quiet(s);
}

TEST_CASE(poll_reports_what_is_ready_at_once, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;

	op_poll(&op, link->afd_out, POLLOUT);
	op_start(s, &op);
	CHECK_EQ(await(s, &op), POLLOUT);
	peer_write(link, "x", 1);
	op_poll(&op, link->afd_in, POLLIN);
	op_start(s, &op);
	CHECK_EQ(await(s, &op), POLLIN);
	stay_quiet(s);
}

/* Refused by submit or reported by the event; nothing is consumed, nothing sticks. */
static void expect_refused(struct scene *s, struct op *op, long error)
{
	int ret = op_try(s, op);

	CHECK_EQ(ret == 1 ? await(s, op) : ret, error);
}

TEST_CASE(bad_buffer_is_reported_and_the_ring_goes_on, ON(STREAMS))
{
	struct iovec bad = {(void *)8, 4};
	static struct iovec none[5000];
	struct link *link = scene_open(s, 8);
	struct op op;
	char buf[4];

	peer_write(link, "data", 4);
	op_read(&op, link->afd_in, (void *)8, 4);
	expect_refused(s, &op, -EFAULT);
	op_write(&op, link->afd_out, (void *)8, 4);
	expect_refused(s, &op, -EFAULT);
	op_readv(&op, link->afd_in, &bad, 1);
	expect_refused(s, &op, -EFAULT);
	op_readv(&op, link->afd_in, none, ARRAY_LEN(none));
	expect_refused(s, &op, -EINVAL);
	CHECK_EQ(taio_inflight(s->ring), 0);
	read_start(s, &op, link->afd_in, buf, 4);
	CHECK_EQ(await(s, &op), 4);
	CHECK_EQ(memcmp(buf, "data", 4), 0);
	stay_quiet(s);
}

/* It has read_iter but no write_iter: an engine may have to treat its two directions differently. */
TEST_CASE(eventfd_is_a_stream, ON(NONE), AS(CASE_VARIANTS))
{
	int fd = eventfd(0, EFD_CLOEXEC), afd;
	uint64_t out = 7, in = 0, most = UINT64_MAX - 1;
	struct op read_op, write_op;

	scene_ring(s, 8, 0);
	afd = taio_attach(s->ring, fd, TAIO_CLASS_ASK);
	CHECK(afd >= 0);
	read_start(s, &read_op, afd, &in, sizeof(in));
	stay_quiet(s);
	write_start(s, &write_op, afd, &out, sizeof(out));
	CHECK_EQ(await(s, &write_op), sizeof(out));
	CHECK_EQ(await(s, &read_op), sizeof(in));
	CHECK_EQ(in, 7);
	CHECK_EQ(write(fd, &most, sizeof(most)), sizeof(most));
	for (int i = 0; i < 2; i++) { /* no room: cancelled, then let in */
		write_start(s, &write_op, afd, &out, sizeof(out));
		stay_quiet(s);
		if (i == 0)
			CHECK_EQ(op_cancel(s, &write_op), 0);
		else
			CHECK_EQ(read(fd, &in, sizeof(in)), sizeof(in));
		CHECK_EQ(await(s, &write_op), i == 0 ? -ECANCELED : (long)sizeof(out));
	}
	CHECK_EQ(read(fd, &in, sizeof(in)), sizeof(in));
	CHECK_EQ(in, 7);
	stay_quiet(s);
	taio_detach(s->ring, afd);
	close(fd);
}
