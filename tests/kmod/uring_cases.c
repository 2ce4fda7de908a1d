/* SPDX-License-Identifier: MIT */
/*
 * io_uring on a proxy is served as on the file itself: it asks without waiting, polls, and brings its own
 * threads. Such requests are no operations of the module; io_uring's own cancel ends them.
 */
#include "semantics.h"
#include "uring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* uring_await() calls fail_at(THERE()). */
#define uring_await(uring, user_data) (HERE(), uring_await(uring, user_data))

struct body {
	struct scene *s;
	case_fn *run;
};

static void run_body(void *arg)
{
	struct body *body = arg;

	body->run(body->s);
}

/* Threads that io_uring has made stay as long as the process. */
static void in_child(struct scene *s, case_fn *run)
{
	struct body body = {s, run};

	CHECK_EQ(child_reap(child_start(run_body, &body), 60000), 0);
}

static void submit_rw(struct uring *uring, int opcode, int fd, void *buf, unsigned int len, uint64_t offset)
{
	uring_submit(uring, &(struct io_uring_sqe){.opcode = (uint8_t)opcode,
						   .fd = fd,
						   .addr = (uintptr_t)buf,
						   .len = len,
						   .off = offset,
						   .user_data = 1});
}

#define rw(uring, ...) (submit_rw(uring, __VA_ARGS__), uring_await(uring, 1))

enum { NRESULTS = 6 };

/* @in and @out are the link's, or proxies of them. */
static void use_stream(struct link *link, int in, int out, long results[NRESULTS])
{
	struct taio_ioc_info info;
	struct uring uring;
	char buf[64] = {0};

	uring_open(&uring);
	submit_rw(&uring, IORING_OP_READ, in, buf, sizeof(buf), (uint64_t)-1);
	uring_stay_quiet(&uring);
	proxy_info(link->afd_in, &info);
	CHECK_EQ(info.inflight, 0);
	peer_write(link, "hello", 5);
	results[0] = uring_await(&uring, 1);
	CHECK(memcmp(buf, "hello", 5) == 0);
	results[1] = rw(&uring, IORING_OP_WRITE, out, "reply", 5, (uint64_t)-1);
	peer_read(link, buf, 5);
	CHECK(memcmp(buf, "reply", 5) == 0);
	peer_write(link, "x", 1);
	results[2] = rw(&uring, IORING_OP_READ, in, buf, 0, (uint64_t)-1);
	results[3] = rw(&uring, IORING_OP_READ, in, buf, 1, 5);
	results[4] = rw(&uring, IORING_OP_WRITE, out, (void *)16, 1, (uint64_t)-1);
	link_peer_close(link);
	results[5] = rw(&uring, IORING_OP_READ, in, buf, 1, (uint64_t)-1);
	uring_close(&uring);
}

static void stream_body(struct scene *s)
{
	struct link *stock = scene_link(s), *link = scene_link(s);
	uint64_t passed = counter_get("passed"), submitted = counter_get("submitted");
	long want[NRESULTS], got[NRESULTS];

	use_stream(stock, stock->in, stock->out, want);
	CHECK_EQ(counter_get("passed"), passed);
	use_stream(link, link->afd_in, link->afd_out, got);
	for (unsigned int i = 0; i < NRESULTS; i++)
		if (got[i] != want[i])
			fail_at(HERE(), "request %u: %ld, on the file itself %ld", i, got[i], want[i]);
	CHECK_EQ(want[0], 5);
	CHECK_EQ(want[1], 5);
	CHECK(counter_get("passed") > passed);
	CHECK_EQ(counter_get("submitted"), submitted);
}

TEST_CASE(uring_on_a_stream_proxy, ON(STREAMS))
{
	in_child(s, stream_body);
}

static void file_body(struct scene *s)
{
	int file = scratch_file(10000), proxy = proxy_make(s, file);
	char buf[1000];
	struct iovec iov[2] = {{buf, 400}, {buf + 400, 600}}, whole = {buf, sizeof(buf)};
	struct uring uring;

	uring_open(&uring);
	CHECK_EQ(rw(&uring, IORING_OP_READ, proxy, buf, sizeof(buf), 5000), sizeof(buf));
	pattern_check(buf, sizeof(buf), 5000, 0);
	CHECK_EQ(rw(&uring, IORING_OP_READV, proxy, iov, 2, 3000), sizeof(buf));
	pattern_check(buf, sizeof(buf), 3000, 0);
	/* At the proxy's own position, which this moves. */
	for (uint64_t at = 0; at < 3; at++) {
		CHECK_EQ(rw(&uring, IORING_OP_READ, proxy, buf, sizeof(buf), (uint64_t)-1), sizeof(buf));
		pattern_check(buf, sizeof(buf), at * sizeof(buf), 0);
	}
	CHECK_EQ(lseek(proxy, 0, SEEK_CUR), 3000);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
	CHECK_EQ(rw(&uring, IORING_OP_READ, proxy, buf, sizeof(buf), 9900), 100);
	CHECK_EQ(rw(&uring, IORING_OP_READ, proxy, buf, sizeof(buf), 10000), 0);
	CHECK_EQ(rw(&uring, IORING_OP_READ, proxy, (void *)16, 10, 0), -EFAULT);

	SYS(syscall(SYS_io_uring_register, uring.fd, IORING_REGISTER_BUFFERS, &whole, 1));
	CHECK_EQ(rw(&uring, IORING_OP_READ_FIXED, proxy, buf, sizeof(buf), 2000), sizeof(buf));
	pattern_check(buf, sizeof(buf), 2000, 0);
	pattern_fill(buf, sizeof(buf), 0, 3);
	CHECK_EQ(rw(&uring, IORING_OP_WRITE_FIXED, proxy, buf, sizeof(buf), 7000), sizeof(buf));
	CHECK_EQ(rw(&uring, IORING_OP_WRITE, proxy, buf, sizeof(buf), 20000), sizeof(buf));
	for (off_t at = 7000; at <= 20000; at += 13000) {
		memset(buf, 0, sizeof(buf));
		CHECK_EQ(pread(file, buf, sizeof(buf), at), sizeof(buf));
		pattern_check(buf, sizeof(buf), 0, 3);
	}
	uring_close(&uring);
}

TEST_CASE(uring_on_a_file_proxy, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
{
	in_child(s, file_body);
}

/* Only the first page is in the page cache: what io_uring does with a short read depends on the inode. */
static void partly_cached_body(struct scene *s)
{
	enum { NBYTES = 1 << 20 };
	int file = slow_device(O_RDONLY), proxy = proxy_make(s, file);
	char *buf = malloc(NBYTES), byte;
	struct uring uring;

	CHECK(buf);
	CHECK_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM), 0);
	CHECK_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(pread(file, &byte, 1, 0), 1);
	uring_open(&uring);
	CHECK_EQ(rw(&uring, IORING_OP_READ, proxy, buf, NBYTES, 0), NBYTES);
	uring_close(&uring);
	free(buf);
}

TEST_CASE(uring_on_a_proxy_of_a_partly_cached_file, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
{
	in_child(s, partly_cached_body);
}

static void poll_body(struct scene *s)
{
	struct link *link = scene_link(s);
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD, .fd = link->afd_in, .poll32_events = POLLIN, .user_data = 7};
	struct uring uring;

	uring_open(&uring);
	uring_submit(&uring, &sqe);
	uring_stay_quiet(&uring);
	peer_write(link, "x", 1);
	CHECK(uring_await(&uring, 7) & POLLIN);
	sqe.fd = link->afd_out;
	sqe.poll32_events = POLLOUT;
	uring_submit(&uring, &sqe);
	CHECK(uring_await(&uring, 7) & POLLOUT);
	uring_close(&uring);
}

TEST_CASE(uring_poll_on_the_proxy, ON(STREAMS))
{
	in_child(s, poll_body);
}

static void cancel_body(struct scene *s)
{
	static const struct io_uring_sqe cancel = {
		.opcode = IORING_OP_ASYNC_CANCEL, .fd = -1, .addr = 1, .user_data = 2};
	struct link *link = scene_link(s);
	struct uring uring;
	char byte = 0;
	long res[2];

	uring_open(&uring);
	submit_rw(&uring, IORING_OP_READ, link->afd_in, &byte, 1, (uint64_t)-1);
	uring_stay_quiet(&uring);
	uring_submit(&uring, &cancel);
	/* Either order. A thread of io_uring's that waits in the read is interrupted: then it is "already
	 * running". */
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t which = uring_peek(&uring);

		res[which - 1] = uring_await(&uring, which);
	}
	CHECK(res[1] == 0 || res[1] == -EALREADY);
	CHECK(res[0] == -ECANCELED || res[0] == -EINTR);
	peer_write(link, "x", 1);
	fd_read(link->afd_in, &byte, 1);
	CHECK_EQ(byte, 'x');
	uring_close(&uring);
}

TEST_CASE(uring_cancel_on_the_proxy, ON(STREAMS))
{
	in_child(s, cancel_body);
}
