/* SPDX-License-Identifier: MIT */
/* Arguments of operations: offsets, lengths, vectors, and positions of files. */
#include "semantics.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEGMENTS_MAX 1024 /* UIO_MAXIOV */
#define SLOW_NS	     100000000
#define SLOW_READS   8

static long run_op(struct scene *s, struct op *op)
{
	int ret = op_try(&s->ring, op);

	return ret == 1 ? await_(&s->ring, op) : ret;
}

TEST_CASE(offset_on_a_socket_is_espipe, ON(TCP))
{
	static const long long offsets[] = {1, 4096, 1ll << 40};
	struct link *link = scene_open(s, 4);
	char byte = 'x';
	struct op op;

	peer_write(link, "data", 4);
	for (unsigned int i = 0; i < ARRAY_LEN(offsets); i++) {
		op_read(&op, link->afd_in, &byte, 1);
		op.iocb.u.c.offset = offsets[i];
		CHECK_EQ(run_op(s, &op), -ESPIPE);
		op_write(&op, link->afd_out, &byte, 1);
		op.iocb.u.c.offset = offsets[i];
		CHECK_EQ(run_op(s, &op), -ESPIPE);
	}
	/* Nothing has moved. */
	op_read(&op, link->afd_in, &byte, 1);
	CHECK_EQ(run_op(s, &op), 1);
	CHECK_EQ(byte, 'd');
	CHECK(!is_readable(link->peer_in, 10));
}

/* It polls as never ready, but does not wait for that: who reads or writes it fails. */
TEST_CASE(listening_socket_fails_at_once, ON(NONE))
{
	int fd = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), proxy;
	char byte = 'x';
	struct op op;

	signal(SIGPIPE, SIG_IGN);
	SYS(listen(fd, 1));
	proxy = proxy_make(s, fd);
	scene_ring(s, 4);
	op_read(&op, fd, &byte, 1);
	CHECK_EQ(run_op(s, &op), -ENOTCONN);
	op_write(&op, fd, &byte, 1);
	CHECK_EQ(run_op(s, &op), -EPIPE);
	op_read(&op, proxy, &byte, 1);
	CHECK_EQ(run_op(s, &op), -ENOTCONN);
	op_write(&op, proxy, &byte, 1);
	CHECK_EQ(run_op(s, &op), -EPIPE);
}

TEST_CASE(zero_length_is_zero_at_once, ON(STREAMS | LINK_FILE))
{
	struct link *link = scene_open(s, 4);
	struct iovec iov = {NULL, 0};
	struct op op;

	op_read(&op, link->afd_in, NULL, 0);
	CHECK_EQ(run_op(s, &op), 0);
	op_write(&op, link->afd_out, NULL, 0);
	CHECK_EQ(run_op(s, &op), 0);
	op_readv(&op, link->afd_in, &iov, 1);
	CHECK_EQ(run_op(s, &op), 0);
	op_readv(&op, link->afd_in, NULL, 0);
	CHECK_EQ(run_op(s, &op), 0);
	op_writev(&op, link->afd_out, NULL, 0);
	CHECK_EQ(run_op(s, &op), 0);
}

/* @n segments that cover buf in order; their lengths differ, and some are empty when there are many. */
static struct iovec *cut(char *buf, size_t nbytes, unsigned int n)
{
	struct iovec *iov = calloc(n, sizeof(*iov));
	size_t at = 0;

	CHECK(iov);
	for (unsigned int i = 0; i < n; i++) {
		size_t len = i + 1 == n ? nbytes - at : n == 1 ? nbytes : (i * 7) % (2 * nbytes / n);

		if (len > nbytes - at)
			len = nbytes - at;
		iov[i] = (struct iovec){buf + at, len};
		at += len;
	}
	return iov;
}

/* Reads by a vector until all is there: a stream may give less at a time, and then the test goes on in one
 * piece. */
static void read_vector(struct scene *s, struct link *link, char *buf, size_t nbytes, unsigned int n)
{
	struct iovec *iov = cut(buf, nbytes, n);
	struct op op;
	size_t got;

	op_readv(&op, link->afd_in, iov, (int)n);
	got = (size_t)run_op(s, &op);
	CHECK(got > 0 && got <= nbytes);
	while (got < nbytes) {
		op_read(&op, link->afd_in, buf + got, nbytes - got);
		CHECK(run_op(s, &op) > 0);
		got += (size_t)op.res;
	}
	free(iov);
}

TEST_CASE(vectors_of_all_sizes, ON(STREAMS | LINK_FILE))
{
	static const unsigned int counts[] = {1, 2, 8, 9, 100, SEGMENTS_MAX};
	enum { NBYTES = 3000 };
	struct link *link = scene_open(s, 4);
	char out[NBYTES], in[NBYTES];

	for (unsigned int i = 0; i < ARRAY_LEN(counts); i++) {
		struct iovec *iov = cut(out, NBYTES, counts[i]);
		struct op op;

		pattern_fill(out, NBYTES, 0, i);
		memset(in, 0, NBYTES);
		op_writev(&op, link->afd_out, iov, (int)counts[i]);
		CHECK_EQ(run_op(s, &op), NBYTES);
		if (s->kind != LINK_FILE) {
			peer_read(link, in, NBYTES);
			pattern_check(in, NBYTES, 0, i);
			memset(in, 0, NBYTES);
			peer_write(link, out, NBYTES);
		}
		read_vector(s, link, in, NBYTES, counts[i]);
		pattern_check(in, NBYTES, 0, i);
		free(iov);
	}
}

/* Vectors that fs/aio or the file must refuse; the answer is the file's own. */
TEST_CASE(bad_vectors_fail_as_on_the_file, ON(PARKABLE | LINK_FILE))
{
	static struct iovec huge[SEGMENTS_MAX + 1];
	char byte;
	struct iovec negative[2] = {{&byte, 1}, {&byte, (size_t)-1}};
	struct iovec bad_base[2] = {{(void *)16, 1}, {&byte, 1}};
	struct iovec kernel_base = {(void *)0xffffffff81000000, 1};
	const struct {
		const char *name;
		struct iovec *iov;
		int niov;
	} rows[] = {
		{"no vector", NULL, 1},
		{"vector in the kernel", (void *)0xffffffff81000000, 1},
		{"too many segments", huge, ARRAY_LEN(huge)},
		{"negative count", negative, -1},
		{"negative length", negative, 2},
		{"bad buffer", bad_base, 2},
		{"buffer in the kernel", &kernel_base, 1},
	};
	struct link *link = scene_open(s, 4);

	if (s->kind == LINK_FILE)
		CHECK_EQ(pwrite(link->in, "12", 2, 0), 2);
	for (unsigned int i = 0; i < ARRAY_LEN(rows); i++)
		for (int is_write = 0; is_write < 2; is_write++) {
			void (*prep)(struct op *, int, const struct iovec *, int) =
				is_write ? op_writev : op_readv;
			long want, got;
			struct op op;

			if (!is_write && s->kind != LINK_FILE)
				peer_write(link, "12", 2);
			prep(&op, is_write ? link->out : link->in, rows[i].iov, rows[i].niov);
			want = run_op(s, &op);
			prep(&op, is_write ? link->afd_out : link->afd_in, rows[i].iov, rows[i].niov);
			got = run_op(s, &op);
			if (got != want || want >= 0)
				fail_at(HERE(), "%s, %s: %ld, on the file itself %ld",
					is_write ? "write" : "read", rows[i].name, got, want);
		}
}

TEST_CASE(file_ops_at_offsets_leave_the_position, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
{
	int file = scratch_file(8192), proxy = proxy_make(s, file);
	char buf[1000];
	struct op op;

	scene_ring(s, 4);
	SYS(lseek(proxy, 17, SEEK_SET));
	op_read(&op, proxy, buf, sizeof(buf));
	op.iocb.u.c.offset = 3000;
	CHECK_EQ(run_op(s, &op), sizeof(buf));
	pattern_check(buf, sizeof(buf), 3000, 0);
	pattern_fill(buf, sizeof(buf), 0, 5);
	op_write(&op, proxy, buf, sizeof(buf));
	op.iocb.u.c.offset = 5000;
	CHECK_EQ(run_op(s, &op), sizeof(buf));
	CHECK_EQ(pread(file, buf, sizeof(buf), 5000), sizeof(buf));
	pattern_check(buf, sizeof(buf), 0, 5);
	CHECK_EQ(lseek(proxy, 0, SEEK_CUR), 17);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
	op_read(&op, proxy, buf, 1);
	op.iocb.u.c.offset = -1;
	CHECK_EQ(run_op(s, &op), -EINVAL);
}

/* IOCB_NOWAIT does not keep a synchronous direct read from waiting for the device: it must not be tried. */
TEST_CASE(direct_reads_do_not_hold_up_io_submit, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
{
	struct op ops[SLOW_READS];
	uint64_t begin, took;
	char *buf;
	int proxy;

	proxy = proxy_make(s, slow_device(O_RDONLY | O_DIRECT));
	scene_ring(s, SLOW_READS);
	CHECK_EQ(posix_memalign((void **)&buf, 4096, SLOW_READS * 4096), 0);
	for (unsigned int i = 0; i < SLOW_READS; i++) {
		op_read(&ops[i], proxy, buf + i * 4096, 4096);
		ops[i].iocb.u.c.offset = i * 4096;
	}
	begin = clock_ns();
	for (unsigned int i = 0; i < SLOW_READS; i++)
		op_start(&s->ring, &ops[i]);
	took = clock_ns() - begin;
	note("%u reads submitted in %ju us", SLOW_READS, (uintmax_t)took / 1000);
	CHECK(took < SLOW_NS);
	for (unsigned int i = 0; i < SLOW_READS; i++)
		CHECK_EQ(await(&s->ring, &ops[i]), 4096);
	CHECK(clock_ns() - begin >= SLOW_NS);
	free(buf);
}

TEST_CASE(append_appends, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
{
	int file = scratch_file(100), proxy, flagged;
	struct op op;
	char buf[16];

	scene_ring(s, 4);
	proxy = proxy_make(s, file);
	op_write(&op, proxy, "abcd", 4);
	op.iocb.aio_rw_flags = RWF_APPEND;
	CHECK_EQ(run_op(s, &op), 4);
	SYS(fcntl(file, F_SETFL, O_APPEND));
	flagged = proxy_make(s, file);
	op_write(&op, flagged, "efgh", 4);
	CHECK_EQ(run_op(s, &op), 4);
	op_write(&op, proxy, "ijkl", 4); /* the flag is the file's, whenever the proxy was made */
	CHECK_EQ(run_op(s, &op), 4);
	CHECK_EQ(write(proxy, "mnop", 4), 4);
	CHECK_EQ(lseek(proxy, 0, SEEK_CUR), 116);
	CHECK_EQ(pread(file, buf, sizeof(buf), 100), 16);
	CHECK(memcmp(buf, "abcdefghijklmnop", 16) == 0);
}

TEST_CASE(eof_of_a_file_is_zero, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
{
	int proxy = proxy_make(s, scratch_file(100));
	char buf[200];
	struct op op;

	scene_ring(s, 4);
	op_read(&op, proxy, buf, sizeof(buf));
	CHECK_EQ(run_op(s, &op), 100);
	pattern_check(buf, 100, 0, 0);
	op_read(&op, proxy, buf, sizeof(buf));
	op.iocb.u.c.offset = 100;
	CHECK_EQ(run_op(s, &op), 0);
	op.iocb.u.c.offset = 100000;
	op.events = 0;
	CHECK_EQ(run_op(s, &op), 0);
}
