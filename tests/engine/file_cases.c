/* SPDX-License-Identifier: MIT */
/*
 * Class FILE: the offset counts, and every operation completes. Also a device that was attached as a file.
 */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK	4096
#define NBLOCKS 64

static struct link *file_with_pattern(struct scene *s, size_t nbytes)
{
	struct link *file = scene_link(s);
	char *buf = malloc(nbytes);

	pattern_fill(buf, nbytes, 0, 6);
	CHECK_EQ(pwrite(file->in, buf, nbytes, 0), nbytes);
	free(buf);
	return file;
}

static void op_at(struct op *op, long long offset)
{
	op->iocb.u.c.offset = offset;
}

TEST_CASE(file_reads_and_writes_at_offsets, ON(FILE), AS(CASE_VARIANTS))
{
	static const long long offsets[] = {0, 1, 4095, 4096, 100000, 12345678};
	struct link *file;
	char out[777], in[777];
	struct op op;

	file = scene_open(s, 8);
	for (unsigned int i = ARRAY_LEN(offsets); i-- > 0;) {
		pattern_fill(out, sizeof(out), (uint64_t)offsets[i], 7);
		op_write(&op, file->afd_out, out, sizeof(out));
		op_at(&op, offsets[i]);
		op_start(s, &op);
		CHECK_EQ(await(s, &op), sizeof(out));
		CHECK_EQ(pread(file->in, in, sizeof(in), offsets[i]), sizeof(in));
		pattern_check(in, sizeof(in), (uint64_t)offsets[i], 7);
		memset(in, 0, sizeof(in));
		op_read(&op, file->afd_in, in, sizeof(in));
		op_at(&op, offsets[i]);
		op_start(s, &op);
		CHECK_EQ(await(s, &op), sizeof(in));
		pattern_check(in, sizeof(in), (uint64_t)offsets[i], 7);
	}
	CHECK_EQ(lseek(file->in, 0, SEEK_CUR), 0); /* the file's own position is not touched */
}

TEST_CASE(file_vectors, ON(FILE))
{
	char a[1], b[500], c[3000];
	struct iovec iov[] = {{a, sizeof(a)}, {b, sizeof(b)}, {c, sizeof(c)}};
	struct link *file;
	struct op op;

	scene_ring(s, 8, 0);
	file = file_with_pattern(s, 2 * BLOCK);
	op_readv(&op, file->afd_in, iov, ARRAY_LEN(iov));
	op_at(&op, 1000);
	op_start(s, &op);
	CHECK_EQ(await(s, &op), 3501);
	pattern_check(a, 1, 1000, 6);
	pattern_check(b, 500, 1001, 6);
	pattern_check(c, 3000, 1501, 6);
	op_writev(&op, file->afd_out, iov, ARRAY_LEN(iov));
	op_at(&op, 3 * BLOCK);
	op_start(s, &op);
	CHECK_EQ(await(s, &op), 3501);
	CHECK_EQ(pread(file->in, c, 3000, 3 * BLOCK + 501), 3000);
	pattern_check(c, 3000, 1501, 6);
}

TEST_CASE(file_end_gives_short_read_then_zero, ON(FILE))
{
	struct link *file;
	char buf[1000];
	struct op op;

	scene_ring(s, 8, 0);
	file = file_with_pattern(s, 1234);
	op_read(&op, file->afd_in, buf, sizeof(buf));
	op_at(&op, 1000);
	op_start(s, &op);
	CHECK_EQ(await(s, &op), 234);
	pattern_check(buf, 234, 1000, 6);
	op_read(&op, file->afd_in, buf, sizeof(buf));
	op_at(&op, 1234);
	op_start(s, &op);
	CHECK_EQ(await(s, &op), 0);
	read_start(s, &op, file->afd_in, buf, 0);
	CHECK_EQ(await(s, &op), 0);
	op_read(&op, file->afd_in, buf, 10);
	op_at(&op, -1);
	CHECK_EQ(op_try(s, &op) == 1 ? await(s, &op) : -EINVAL, -EINVAL);
	stay_quiet(s);
}

TEST_CASE(file_many_in_flight_complete_once, ON(FILE), AS(CASE_VARIANTS))
{
	static struct op ops[NBLOCKS];
	static char bufs[NBLOCKS][BLOCK];
	struct iocb *iocbs[NBLOCKS];
	struct link *file;

	scene_ring(s, NBLOCKS, 4);
	file = file_with_pattern(s, NBLOCKS * BLOCK);
	for (unsigned int turn = 0; turn < 10; turn++) {
		memset(bufs, 0, sizeof(bufs));
		for (unsigned int i = 0; i < NBLOCKS; i++) {
			op_read(&ops[i], file->afd_in, bufs[i], BLOCK);
			op_at(&ops[i], (i * 29 % NBLOCKS) * BLOCK);
			iocbs[i] = &ops[i].iocb;
		}
		CHECK_EQ(taio_submit(s->ring, NBLOCKS, iocbs), NBLOCKS);
		await_all(s, ops, NBLOCKS);
		for (unsigned int i = 0; i < NBLOCKS; i++) {
			CHECK_EQ(ops[i].res, BLOCK);
			pattern_check(bufs[i], BLOCK, (uint64_t)(i * 29 % NBLOCKS) * BLOCK, 6);
		}
	}
	stay_quiet(s);
}

TEST_CASE(file_poll_is_refused, ON(FILE))
{
	struct link *file;
	struct op op;

	file = scene_open(s, 8);
	op_poll(&op, file->afd_in, POLLIN);
	CHECK_EQ(op_try(s, &op), -EINVAL);
}

/* A read that has begun reports its own result, one that has not may be cancelled. Each has one event. */
TEST_CASE(file_cancel_gives_one_event, ON(FILE))
{
	static struct op ops[NBLOCKS];
	static char bufs[NBLOCKS][BLOCK];
	int rets[NBLOCKS];
	struct link *file;
	long done = 0;

	scene_ring(s, NBLOCKS, 2);
	file = file_with_pattern(s, NBLOCKS * BLOCK);
	for (unsigned int turn = 0; turn < 20; turn++) {
		for (unsigned int i = 0; i < NBLOCKS; i++) {
			op_read(&ops[i], file->afd_in, bufs[i], BLOCK);
			op_at(&ops[i], i * BLOCK);
			op_start(s, &ops[i]);
		}
		for (unsigned int i = 0; i < NBLOCKS; i++)
			rets[i] = op_cancel(s, &ops[i]);
		await_all(s, ops, NBLOCKS);
		for (unsigned int i = 0; i < NBLOCKS; i++) {
			if (ops[i].res == -ECANCELED) {
				CHECK_EQ(rets[i], 0);
				continue;
			}
			CHECK_EQ(ops[i].res, BLOCK);
			pattern_check(bufs[i], BLOCK, (uint64_t)i * BLOCK, 6);
			done++;
		}
	}
	note("%ld read, %ld cancelled", done, 20L * NBLOCKS - done);
	stay_quiet(s);
}

TEST_CASE(file_close_with_ops_in_flight, ON(FILE))
{
	struct op *ops = calloc(NBLOCKS, sizeof(*ops));
	char *bufs = malloc(NBLOCKS * BLOCK);
	struct link *file;

	scene_ring(s, NBLOCKS, 2);
	file = file_with_pattern(s, NBLOCKS * BLOCK);
	for (unsigned int i = 0; i < NBLOCKS; i++) {
		op_read(&ops[i], file->afd_in, bufs + i * BLOCK, BLOCK);
		op_at(&ops[i], i * BLOCK);
		op_start(s, &ops[i]);
	}
	scene_close_ring(s);
	free(bufs);
	free(ops);
}

static int direct_file(void)
{
	const char *dir = getenv("TMPDIR");
	static _Alignas(BLOCK) char block[BLOCK];
	int fd = open(dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC | O_DIRECT, 0600);

	if (fd < 0 && errno == EINVAL)
		skip("the file system of %s refuses O_DIRECT", dir ? dir : "/tmp");
	CHECK(fd >= 0);
	if (pwrite(fd, block, BLOCK, 0) < 0 && errno == EINVAL)
		skip("the file system of %s takes no blocks of %d bytes", dir ? dir : "/tmp", BLOCK);
	return fd;
}

/* Events must arrive unprompted: a caller that only sleeps on the fd sees each of them. */
static void await_all_asleep(struct scene *s, struct op *ops, unsigned int nops)
{
	for (unsigned int i = 0; i < nops; i++)
		while (!ops[i].events)
			CHECK(collect(s, 0) || is_readable(taio_fd(s->ring), 5000));
}

/* A wake-up may be late, but each is owed once. */
static void check_fd_falls_quiet(struct scene *s, unsigned int wakes_max)
{
	unsigned int wakes = 0;

	do {
		CHECK_EQ(collect(s, 0), 0);
		CHECK(wakes++ <= wakes_max);
	} while (is_readable(taio_fd(s->ring), 5));
}

static void move_blocks(struct scene *s, int afd, bool is_write, char bufs[NBLOCKS][BLOCK])
{
	static struct op ops[NBLOCKS];
	struct iocb *iocbs[NBLOCKS];

	for (unsigned int i = 0; i < NBLOCKS; i++) {
		unsigned int block = i * 29 % NBLOCKS;

		if (is_write)
			op_write(&ops[i], afd, bufs[block], BLOCK);
		else
			op_read(&ops[i], afd, bufs[block], BLOCK);
		op_at(&ops[i], block * BLOCK);
		iocbs[i] = &ops[i].iocb;
	}
	CHECK_EQ(taio_submit(s->ring, NBLOCKS, iocbs), NBLOCKS);
	await_all_asleep(s, ops, NBLOCKS);
	for (unsigned int i = 0; i < NBLOCKS; i++)
		CHECK_EQ(ops[i].res, BLOCK);
	check_fd_falls_quiet(s, NBLOCKS);
}

TEST_CASE(direct_file_wakes_and_moves_blocks, ON(NONE), AS(CASE_VARIANTS))
{
	static _Alignas(BLOCK) char out[NBLOCKS][BLOCK], in[NBLOCKS][BLOCK];
	int fd = direct_file(), afd;

	scene_ring(s, NBLOCKS, 4);
	afd = taio_attach(s->ring, fd, TAIO_CLASS_ASK);
	CHECK(afd >= 0);
	for (unsigned int turn = 0; turn < 4; turn++) {
		pattern_fill(out, sizeof(out), 0, turn);
		memset(in, 0, sizeof(in));
		move_blocks(s, afd, true, out);
		move_blocks(s, afd, false, in);
		pattern_check(in, sizeof(in), 0, turn);
	}
	taio_detach(s->ring, afd);
	close(fd);
}

static long transfer_alone(struct scene *s, struct op *op)
{
	op_start(s, op);
	await_all_asleep(s, op, 1);
	return op->res;
}

static void device_answers(struct scene *s, const char *path, enum taio_class class, long written)
{
	static const char zeros[100];
	int fd = open(path, O_RDWR | O_CLOEXEC), afd;
	char buf[100];
	struct op op;

	CHECK(fd >= 0);
	afd = taio_attach(s->ring, fd, class);
	CHECK(afd >= 0);
	for (int turn = 0; turn < 3; turn++) { /* what the first one tells must hold for the others */
		op_write(&op, afd, "data", 4);
		CHECK_EQ(transfer_alone(s, &op), written);
		memset(buf, 'x', sizeof(buf));
		op_read(&op, afd, buf, sizeof(buf));
		CHECK_EQ(transfer_alone(s, &op), sizeof(buf));
		CHECK_EQ(memcmp(buf, zeros, sizeof(buf)), 0);
	}
	check_fd_falls_quiet(s, 8);
	taio_detach(s->ring, afd);
	close(fd);
}

/* /dev/full has never known RWF_NOWAIT, /dev/zero does since Linux 6.4. */
TEST_CASE(device_without_nowait_answers, ON(NONE), AS(CASE_VARIANTS))
{
	scene_ring(s, 8, 0);
	device_answers(s, "/dev/full", TAIO_CLASS_FILE, -ENOSPC);
	device_answers(s, "/dev/zero", TAIO_CLASS_FILE, 4);
	device_answers(s, "/dev/full", TAIO_CLASS_STREAM, -ENOSPC);
	device_answers(s, "/dev/zero", TAIO_CLASS_STREAM, 4);
}
