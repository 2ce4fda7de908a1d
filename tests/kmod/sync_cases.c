/* SPDX-License-Identifier: MIT */
/*
 * Plain system calls on a proxy: read(2), write(2), lseek(2), poll(2), epoll and IOCB_CMD_POLL. Each is made
 * on the file itself as well, and what comes back is compared.
 */
#include "semantics.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_BYTES 4096
#define BUF_BYTES  512

static _Atomic unsigned int sigpipes;

/* What one call gave: its value or -errno, and the bytes. */
struct outcome {
	long ret;
	unsigned int sigpipes;
	char buf[BUF_BYTES];
};

struct step {
	const char *name;
	enum step_call {
		CALL_READ,
		CALL_WRITE,
		CALL_READV,
		CALL_WRITEV,
		CALL_PREAD,
		CALL_PWRITE,
		CALL_PREADV2,
		CALL_PWRITEV2,
		CALL_LSEEK,
		CALL_READ_BAD,
		CALL_WRITE_BAD,
		CALL_READ_NOBLOCK,
		CALL_END_PEER, /* not on the file: its other end is closed */
		CALL_FEED,     /* likewise: nbytes are written there */
	} call;
	long nbytes;
	long offset;
	int word; /* whence, or RWF_ flags */
};

#define STEP(text, what, ...)                                                                                \
	{                                                                                                    \
		.name = text, .call = CALL_##what, __VA_ARGS__                                               \
	}

static long do_call(const struct step *step, int fd, int peer, char *buf)
{
	size_t half = (size_t)step->nbytes / 2, nbytes = (size_t)step->nbytes;
	struct iovec iov[2] = {{buf, half}, {buf + half, nbytes - half}};
	long ret;

	switch (step->call) {
	case CALL_READ:
		return read(fd, buf, nbytes);
	case CALL_WRITE:
		return write(fd, buf, nbytes);
	case CALL_READV:
		return readv(fd, iov, 2);
	case CALL_WRITEV:
		return writev(fd, iov, 2);
	case CALL_PREAD:
		return pread(fd, buf, nbytes, step->offset);
	case CALL_PWRITE:
		return pwrite(fd, buf, nbytes, step->offset);
	case CALL_PREADV2:
		return preadv2(fd, iov, 2, step->offset, step->word);
	case CALL_PWRITEV2:
		return pwritev2(fd, iov, 2, step->offset, step->word);
	case CALL_LSEEK:
		return lseek(fd, step->offset, step->word);
	case CALL_READ_BAD:
		return read(fd, (void *)16, nbytes);
	case CALL_WRITE_BAD:
		return write(fd, (void *)16, nbytes);
	case CALL_READ_NOBLOCK:
		SYS(fcntl(fd, F_SETFL, O_NONBLOCK));
		ret = read(fd, buf, nbytes);
		SYS(fcntl(fd, F_SETFL, 0));
		return ret;
	case CALL_FEED:
		return write(peer, buf, nbytes);
	case CALL_END_PEER:
	default:
		return close(peer);
	}
}

static void on_sigpipe(int sig)
{
	(void)sig;
	atomic_fetch_add(&sigpipes, 1);
}

static void take_step(const struct step *step, int fd, int peer, struct outcome *outcome)
{
	unsigned int before = sigpipes;

	memset(outcome, 0, sizeof(*outcome));
	if (step->call == CALL_WRITE || step->call == CALL_WRITEV || step->call == CALL_PWRITE ||
	    step->call == CALL_PWRITEV2 || step->call == CALL_FEED)
		pattern_fill(outcome->buf, (size_t)step->nbytes, (uint64_t)step->offset, 7);
	errno = 0;
	outcome->ret = do_call(step, fd, peer, outcome->buf);
	if (outcome->ret < 0)
		outcome->ret = -errno;
	outcome->sigpipes = sigpipes - before;
}

/* fds: the file and its far end; then a proxy of another such file and that one's far end. */
static void compare_steps(const struct step *steps, unsigned int nsteps, const int fds[4])
{
	struct sigaction action = {.sa_handler = on_sigpipe};
	struct outcome want, got;

	SYS(sigaction(SIGPIPE, &action, NULL));
	for (unsigned int i = 0; i < nsteps; i++) {
		take_step(&steps[i], fds[0], fds[1], &want);
		take_step(&steps[i], fds[2], fds[3], &got);
		if (got.ret != want.ret || got.sigpipes != want.sigpipes)
			fail_at(THERE(), "step %u, %s: %ld and %u SIGPIPE; on the file itself %ld and %u", i,
				steps[i].name, got.ret, got.sigpipes, want.ret, want.sigpipes);
		if (memcmp(got.buf, want.buf, sizeof(got.buf)) != 0)
			fail_at(THERE(), "step %u, %s: other bytes than of the file itself", i,
				steps[i].name);
	}
}

TEST_CASE(sync_calls_on_a_file_go_as_on_the_file, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
{
	static const struct step steps[] = {
		STEP("read", READ, .nbytes = 100),
		STEP("read on", READ, .nbytes = 100),
		STEP("tell", LSEEK, .word = SEEK_CUR),
		STEP("seek", LSEEK, .offset = 50, .word = SEEK_SET),
		STEP("read there", READ, .nbytes = 10),
		STEP("pread", PREAD, .nbytes = 100, .offset = 1000),
		STEP("tell after pread", LSEEK, .word = SEEK_CUR),
		STEP("pread across the end", PREAD, .nbytes = 500, .offset = FILE_BYTES - 10),
		STEP("pread beyond the end", PREAD, .nbytes = 500, .offset = FILE_BYTES + 10),
		STEP("pread before the start", PREAD, .nbytes = 10, .offset = -1),
		STEP("readv", READV, .nbytes = 300),
		STEP("read of nothing", READ),
		STEP("read to a bad buffer", READ_BAD, .nbytes = 10),
		STEP("tell after all that", LSEEK, .word = SEEK_CUR),
		STEP("write", WRITE, .nbytes = 77),
		STEP("writev", WRITEV, .nbytes = 99),
		STEP("write from a bad buffer", WRITE_BAD, .nbytes = 10),
		STEP("pwrite", PWRITE, .nbytes = 200, .offset = 2000),
		STEP("tell after writes", LSEEK, .word = SEEK_CUR),
		STEP("read back", PREAD, .nbytes = 512, .offset = 1900),
		STEP("preadv2 at the position", PREADV2, .nbytes = 64, .offset = -1),
		STEP("preadv2", PREADV2, .nbytes = 64, .offset = 2000),
		STEP("unknown flag", PREADV2, .nbytes = 64, .word = 1 << 30),
		STEP("pwritev2", PWRITEV2, .nbytes = 64, .offset = 2500, .word = 0),
		STEP("synchronous pwritev2", PWRITEV2, .nbytes = 64, .offset = 2500, .word = RWF_DSYNC),
		STEP("appending pwritev2 at the position", PWRITEV2, .nbytes = 64, .offset = -1,
		     .word = RWF_APPEND),
		STEP("tell after appending", LSEEK, .word = SEEK_CUR),
		STEP("appending pwritev2", PWRITEV2, .nbytes = 64, .word = RWF_APPEND),
		STEP("seek to the end", LSEEK, .word = SEEK_END),
		STEP("read at the end", READ, .nbytes = 10),
		STEP("seek before the end", LSEEK, .offset = -10, .word = SEEK_END),
		STEP("read before the end", READ, .nbytes = 100),
		STEP("seek before the start", LSEEK, .offset = -1, .word = SEEK_SET),
		STEP("seek to data", LSEEK, .offset = 100, .word = SEEK_DATA),
		STEP("seek to a hole", LSEEK, .offset = 100, .word = SEEK_HOLE),
		STEP("seek from nowhere", LSEEK, .word = 99),
		STEP("write far beyond the end", PWRITE, .nbytes = 10, .offset = 100000),
		STEP("read of the gap", PREAD, .nbytes = 512, .offset = 50000),
	};
	int file = scratch_file(FILE_BYTES), wrapped = scratch_file(FILE_BYTES);
	int fds[4] = {file, -1, proxy_make(s, wrapped), -1};
	char want[BUF_BYTES], got[BUF_BYTES];
	ssize_t n;

	HERE();
	compare_steps(steps, ARRAY_LEN(steps), fds);
	for (off_t at = 0; (n = pread(file, want, sizeof(want), at)) > 0; at += n) {
		CHECK_EQ(pread(wrapped, got, sizeof(got), at), n);
		CHECK(memcmp(got, want, (size_t)n) == 0);
	}
	CHECK_EQ(lseek(wrapped, 0, SEEK_CUR), 0);
}

/* To the device, which its cache statistics would not tell: that there is an answer, and the file's own. */
/* The event comes when the device has the bytes, and io_submit(2) does not wait for that. */
TEST_CASE(write_of_no_bytes_syncs, ON(NONE), AS(CASE_BLOCK))
{
	static const int flags[] = {RWF_DSYNC, RWF_SYNC};
	int file = slow_device(O_RDWR), proxy = proxy_make(s, file);
	static char page[4096];
	int64_t begun;
	struct op op;

	scene_ring(s, 1);
	for (unsigned int i = 0; i < ARRAY_LEN(flags); i++) {
		CHECK_EQ(pwrite(file, page, sizeof(page), 0), sizeof(page));
		op_write(&op, proxy, NULL, 0);
		op.iocb.aio_rw_flags = flags[i];
		begun = now_ms();
		op_start(&s->ring, &op);
		CHECK(now_ms() - begun < 50);
		CHECK_EQ(await(&s->ring, &op), 0);
		CHECK(now_ms() - begun >= 100);
	}
	close(file);
}

TEST_CASE(fsync_goes_as_on_the_file, ON(STREAMS | LINK_FILE))
{
	struct link *link = scene_link(s);
	static const int opcodes[] = {IO_CMD_FSYNC, IO_CMD_FDSYNC};
	struct op want, got;

	for (unsigned int i = 0; i < ARRAY_LEN(opcodes); i++) {
		int ret;

		CHECK_EQ(fsync(link->afd_in) ? errno : 0, fsync(link->in) ? errno : 0);
		CHECK_EQ(fdatasync(link->afd_in) ? errno : 0, fdatasync(link->in) ? errno : 0);
		op_read(&want, link->in, NULL, 0);
		want.iocb.aio_lio_opcode = (short)opcodes[i];
		op_read(&got, link->afd_in, NULL, 0);
		got.iocb.aio_lio_opcode = (short)opcodes[i];
		ret = op_try(&s->ring, &want);
		CHECK_EQ(op_try(&s->ring, &got), ret);
		if (ret == 1)
			CHECK_EQ(await(&s->ring, &got), await(&s->ring, &want));
	}
}

TEST_CASE(what_a_proxy_cannot_do_is_refused, ON(STREAMS | LINK_FILE))
{
	int proxy = scene_link(s)->afd_in;
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct stat st;
	int fds[2];

	scratch_pipe(fds);
	CHECK(flock(proxy, LOCK_SH) == -1 && errno == EOPNOTSUPP);
	CHECK(fcntl(proxy, F_SETLK, &lock) == -1 && errno == EOPNOTSUPP);
	CHECK(fcntl(proxy, F_OFD_SETLK, &lock) == -1 && errno == EOPNOTSUPP);
	CHECK(fcntl(proxy, F_GETLK, &lock) == -1 && errno == EOPNOTSUPP);
	CHECK(ftruncate(proxy, 0) == -1 && errno == EINVAL);
	CHECK(fallocate(proxy, 0, 0, 1) == -1);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, proxy, 0) == MAP_FAILED && errno == ENODEV);
	CHECK(sendfile(fds[1], proxy, NULL, 1) == -1 && errno == EINVAL);
	SYS(fstat(proxy, &st));
	CHECK(!S_ISREG(st.st_mode) && !st.st_size);
}

TEST_CASE(proxy_of_a_file_has_its_own_position, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
{
	int file = scratch_file(FILE_BYTES), one, other, copy;
	char buf[100];

	SYS(lseek(file, 1000, SEEK_SET));
	one = proxy_make(s, file);
	other = proxy_make(s, file);
	copy = SYS(dup(one));
	CHECK_EQ(read(one, buf, 100), 100);
	pattern_check(buf, 100, 0, 0);
	CHECK_EQ(lseek(one, 0, SEEK_CUR), 100);
	CHECK_EQ(lseek(other, 0, SEEK_CUR), 0);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 1000);
	/* dup(2) shares it, as of any open file. */
	CHECK_EQ(lseek(copy, 0, SEEK_CUR), 100);
	CHECK_EQ(read(file, buf, 100), 100);
	pattern_check(buf, 100, 1000, 0);
	CHECK_EQ(lseek(one, 0, SEEK_CUR), 100);
}

TEST_CASE(sync_calls_on_streams_go_as_on_the_file, ON(NONE))
{
	static const struct step read_steps[] = {
		STEP("feed", FEED, .nbytes = 100),
		STEP("read", READ, .nbytes = 10),
		STEP("readv", READV, .nbytes = 40),
		STEP("pread", PREAD, .nbytes = 10, .offset = 5),
		STEP("preadv2 of the stream", PREADV2, .nbytes = 10, .offset = -1),
		STEP("seek", LSEEK, .word = SEEK_CUR),
		STEP("read to a bad buffer", READ_BAD, .nbytes = 10),
		STEP("read of nothing", READ),
		STEP("read of the rest", READ, .nbytes = 300),
		STEP("read without waiting", READ_NOBLOCK, .nbytes = 10),
		STEP("end", END_PEER),
		STEP("read at the end", READ, .nbytes = 10),
		STEP("read at the end without waiting", READ_NOBLOCK, .nbytes = 10),
	};
	static const struct step write_steps[] = {
		STEP("write", WRITE, .nbytes = 100),
		STEP("writev", WRITEV, .nbytes = 100),
		STEP("pwrite", PWRITE, .nbytes = 10, .offset = 5),
		STEP("write from a bad buffer", WRITE_BAD, .nbytes = 10),
		STEP("write of nothing", WRITE),
		STEP("end", END_PEER),
		STEP("write after the end", WRITE, .nbytes = 10),
		STEP("write after the end again", WRITE, .nbytes = 10),
	};
	int file[2], wrapped[2];

	scratch_pipe(file);
	scratch_pipe(wrapped);
	HERE();
	compare_steps(read_steps, ARRAY_LEN(read_steps),
		      (int[]){file[0], file[1], proxy_make(s, wrapped[0]), wrapped[1]});
	scratch_pipe(file);
	scratch_pipe(wrapped);
	HERE();
	compare_steps(write_steps, ARRAY_LEN(write_steps),
		      (int[]){file[1], file[0], proxy_make(s, wrapped[1]), wrapped[0]});
	tcp_pair(file, 0);
	tcp_pair(wrapped, 0);
	HERE();
	compare_steps(read_steps, ARRAY_LEN(read_steps),
		      (int[]){file[0], file[1], proxy_make(s, wrapped[0]), wrapped[1]});
	tcp_pair(file, 0);
	tcp_pair(wrapped, 0);
	HERE();
	/* The far end has unread bytes when it closes: it resets, and does so before close(2) returns. */
	compare_steps(write_steps, ARRAY_LEN(write_steps),
		      (int[]){file[0], file[1], proxy_make(s, wrapped[0]), wrapped[1]});
}

static void on_alarm(int sig)
{
	(void)sig;
}

struct reader {
	int fd;
	_Atomic long ret;
	_Atomic bool done;
};

static void *read_byte(void *arg)
{
	struct reader *reader = arg;
	char byte;

	reader->ret = read(reader->fd, &byte, 1) < 0 ? -errno : byte;
	reader->done = true;
	return NULL;
}

TEST_CASE(sync_read_waits_and_is_interrupted, ON(STREAMS))
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct link *link = scene_link(s);
	struct reader reader = {.fd = link->afd_in};
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, read_byte, &reader), 0);
	pause_ms(20);
	CHECK(!reader.done);
	peer_write(link, "x", 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(reader.ret, 'x');

	SYS(sigaction(SIGUSR1, &action, NULL));
	reader.done = false;
	CHECK_EQ(pthread_create(&thread, NULL, read_byte, &reader), 0);
	for (int64_t until = now_ms() + 10000; !reader.done && now_ms() < until; pause_ms(1))
		pthread_kill(thread, SIGUSR1); /* may come before the call that it shall interrupt */
	CHECK(reader.done);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(reader.ret, -EINTR);
	peer_write(link, "y", 1);
	CHECK_EQ(read_byte(&reader) ? 1 : reader.ret, 'y');
}

/* poll(2) at once, the file itself and the proxy in one call: both see the same moment. */
static void expect_same_revents(int fd, int proxy, short want)
{
	struct pollfd fds[2] = {{fd, -1, 0}, {proxy, -1, 0}};

	fds[0].events = fds[1].events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;
	CHECK(poll(fds, 2, 0) >= 0);
	if (fds[0].revents != fds[1].revents || (fds[1].revents & (POLLIN | POLLOUT)) != want)
		fail_at(THERE(), "poll(2): %#x on the proxy, %#x on the file, %#x wanted", fds[1].revents,
			fds[0].revents, want);
}

/* TCP gets room again by a delayed acknowledgement: it is filled until it and the proxy agree at once. */
static void fill_until_polled_full(struct link *link)
{
	static char buf[4096];
	int64_t until = now_ms() + 10000;
	struct pollfd fds[2] = {{link->out, POLLOUT, 0}, {link->afd_out, POLLOUT, 0}};

	SYS(fcntl(link->out, F_SETFL, O_NONBLOCK));
	do {
		while (write(link->out, buf, sizeof(buf)) > 0)
			;
		CHECK(now_ms() < until);
		SYS(poll(fds, 2, 0));
	} while (fds[0].revents || fds[1].revents);
}

TEST_CASE(proxy_polls_as_the_file, ON(STREAMS))
{
	struct link *link = scene_link(s);
	bool duplex = link->in == link->out;
	char byte;

	HERE();
	expect_same_revents(link->in, link->afd_in, duplex ? POLLOUT : 0);
	peer_write(link, "x", 1);
	CHECK(is_readable(link->afd_in, 10000));
	expect_same_revents(link->in, link->afd_in, duplex ? POLLIN | POLLOUT : POLLIN);
	expect_same_revents(link->out, link->afd_out, duplex ? POLLIN | POLLOUT : POLLOUT);
	fd_read(link->afd_in, &byte, 1);
	expect_same_revents(link->in, link->afd_in, duplex ? POLLOUT : 0);
	fill_until_polled_full(link);
	link_peer_close(link);
	CHECK(is_readable(link->afd_in, 10000));
	for (int64_t until = now_ms() + 10000; now_ms() < until; pause_ms(1)) {
		struct pollfd fds[2] = {{link->in, POLLIN | POLLRDHUP, 0},
					{link->afd_in, POLLIN | POLLRDHUP, 0}};

		SYS(poll(fds, 2, 0));
		CHECK_EQ(fds[1].revents, fds[0].revents);
		if (fds[0].revents & (POLLHUP | POLLRDHUP))
			return;
	}
	CHECK(!"the end of the peer was not reported");
}

TEST_CASE(epoll_reports_edges_of_the_proxy, ON(STREAMS), AS(CASE_ONCE))
{
	struct link *link = scene_link(s);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = 42};
	int ep = SYS(epoll_create1(EPOLL_CLOEXEC)), file = scratch_file(1);
	char byte;

	SYS(epoll_ctl(ep, EPOLL_CTL_ADD, link->afd_in, &event));
	CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
	for (unsigned int i = 0; i < 3; i++) {
		peer_write(link, "x", 1);
		CHECK_EQ(epoll_wait(ep, &event, 1, 10000), 1);
		CHECK(event.data.u32 == 42 && event.events & EPOLLIN);
		CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
		if (i > 0)
			fd_read(link->afd_in, &byte, 1);
	}
	SYS(epoll_ctl(ep, EPOLL_CTL_DEL, link->afd_in, NULL));
	/* A file that is always ready is refused, and so is its proxy. */
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, file, &event) == -1 && errno == EPERM);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, proxy_make(s, file), &event) == -1 && errno == EPERM);
}

/* The event's value, or what io_submit(2) said. */
static long poll_now(struct scene *s, int fd, int events)
{
	struct op op;
	int ret;

	op_poll(&op, fd, events);
	ret = op_try(&s->ring, &op);
	if (ret != 1)
		return ret;
	if (!collect(&s->ring, 20)) {
		CHECK_EQ(op_cancel(&s->ring, &op), 0);
		await(&s->ring, &op);
		return 0;
	}
	return op.res;
}

TEST_CASE(aio_poll_on_the_proxy, ON(STREAMS | LINK_FILE))
{
	struct link *link = scene_open(s, 4);
	struct op op;

	if (s->kind != LINK_FILE)
		CHECK_EQ(poll_now(s, link->afd_in, POLLIN), poll_now(s, link->in, POLLIN));
	CHECK_EQ(poll_now(s, link->afd_out, POLLOUT), poll_now(s, link->out, POLLOUT));
	if (s->kind == LINK_FILE)
		return;
	if (s->kind !=
	    LINK_TTY) { /* two wait queues: IOCB_CMD_POLL takes no such file, when it would have to wait */
		op_poll(&op, link->afd_in, POLLIN);
		op_start(&s->ring, &op);
		stay_quiet(&s->ring);
		peer_write(link, "x", 1);
		CHECK(await(&s->ring, &op) & POLLIN);
	} else {
		peer_write(link, "x", 1);
		CHECK(is_readable(link->in, 10000));
	}
	CHECK_EQ(poll_now(s, link->afd_in, POLLIN), poll_now(s, link->in, POLLIN));
}

static void expect_eagain(struct scene *s, struct link *link)
{
	struct op op;
	char byte;

	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	CHECK_EQ(await(&s->ring, &op), -EAGAIN);
}

TEST_CASE(nonblocking_gives_eagain, ON(STREAMS))
{
	struct link *link = scene_open(s, 4);
	struct op op;
	char byte = 0;

	SYS(fcntl(link->in, F_SETFL, O_NONBLOCK));
	expect_eagain(s, link);
	peer_write(link, "x", 1);
	CHECK(is_readable(link->in, 10000));
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	CHECK_EQ(byte, 'x');
	SYS(fcntl(link->in, F_SETFL, 0));
	SYS(fcntl(link->afd_in, F_SETFL, O_NONBLOCK));
	CHECK_EQ(fcntl(link->in, F_GETFL) & O_NONBLOCK, 0);
	expect_eagain(s, link);
	CHECK(read(link->afd_in, &byte, 1) == -1 && errno == EAGAIN);
	SYS(fcntl(link->afd_in, F_SETFL, 0));
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	stay_quiet(&s->ring);
	peer_write(link, "y", 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	CHECK_EQ(byte, 'y');
}

/* A kernel that cannot ask a file not to wait refuses the flag for it; so may the proxy, but it may also
 * obey. */
TEST_CASE(nowait_flag_gives_eagain, ON(STREAMS))
{
	struct link *link = scene_open(s, 4);
	long stock, proxied;
	struct op op;
	char byte;

	op_read(&op, link->in, &byte, 1);
	op.iocb.aio_rw_flags = RWF_NOWAIT;
	stock = op_try(&s->ring, &op);
	if (stock == 1)
		CHECK_EQ(await(&s->ring, &op), -EAGAIN);
	op_read(&op, link->afd_in, &byte, 1);
	op.iocb.aio_rw_flags = RWF_NOWAIT;
	proxied = op_try(&s->ring, &op);
	if (proxied == 1)
		CHECK_EQ(await(&s->ring, &op), -EAGAIN);
	else
		CHECK_EQ(proxied, stock);
}
