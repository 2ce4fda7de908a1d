/* SPDX-License-Identifier: MIT */
/*
 * Every kind of descriptor with every operation: what read(2), write(2) or poll(2) answers at once on one is
 * the event on another of the same kind; where it would have to wait the operation waits, and can be
 * cancelled.
 */
#include "suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Both are closed afterwards; the first is the one to use, the other, which may be -1, keeps it as it is. */
struct pair {
	int fd, other;
};

static struct pair pipe_pair(bool write_end)
{
	int fds[2];

	CHECK_EQ(pipe(fds), 0);
	return write_end ? (struct pair){fds[1], fds[0]} : (struct pair){fds[0], fds[1]};
}

static struct pair pipe_reader(void)
{
	return pipe_pair(false);
}

static struct pair pipe_writer(void)
{
	return pipe_pair(true);
}

static struct pair pipe_without_writer(void)
{
	struct pair pair = pipe_pair(false);

	close(pair.other);
	return (struct pair){pair.fd, -1};
}

static struct pair pipe_without_reader(void)
{
	struct pair pair = pipe_pair(true);

	close(pair.other);
	return (struct pair){pair.fd, -1};
}

static struct pair fifo_pair(int flags)
{
	char path[] = "/tmp/taio-fifo-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(unlink(path), 0);
	CHECK_EQ(mkfifo(path, 0600), 0);
	fd = open(path, flags | O_NONBLOCK);
	unlink(path);
	CHECK(fd >= 0);
	return (struct pair){fd, -1};
}

static struct pair fifo_that_never_had_a_writer(void)
{
	return fifo_pair(O_RDONLY);
}

static struct pair fifo_both_ways(void)
{
	return fifo_pair(O_RDWR);
}

static struct pair socket_of(int domain, int type)
{
	int fd = socket(domain, type, 0);

	CHECK(fd >= 0);
	return (struct pair){fd, -1};
}

static struct pair tcp_listening(void)
{
	struct pair pair = socket_of(AF_INET, SOCK_STREAM);

	CHECK_EQ(listen(pair.fd, 1), 0);
	return pair;
}

static struct pair tcp_unconnected(void)
{
	return socket_of(AF_INET, SOCK_STREAM);
}

static struct pair tcp_connected(void)
{
	struct pair listening = tcp_listening(), pair = tcp_unconnected();
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	CHECK_EQ(getsockname(listening.fd, (struct sockaddr *)&addr, &len), 0);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_EQ(connect(pair.fd, (struct sockaddr *)&addr, len), 0);
	pair.other = accept(listening.fd, NULL, NULL);
	CHECK(pair.other >= 0);
	close(listening.fd);
	return pair;
}

static struct pair tcp_shut(int how)
{
	struct pair pair = tcp_connected();

	CHECK_EQ(shutdown(pair.fd, how), 0);
	return pair;
}

static struct pair tcp_shut_for_reading(void)
{
	return tcp_shut(SHUT_RD);
}

static struct pair tcp_shut_for_writing(void)
{
	return tcp_shut(SHUT_WR);
}

static struct pair udp_unbound(void)
{
	return socket_of(AF_INET, SOCK_DGRAM);
}

static struct pair unix_unconnected(void)
{
	return socket_of(AF_UNIX, SOCK_STREAM);
}

static struct pair unix_datagrams(void)
{
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	return (struct pair){fds[0], fds[1]};
}

static struct pair event_empty(void)
{
	return (struct pair){eventfd(0, 0), -1};
}

static struct pair event_set(void)
{
	return (struct pair){eventfd(7, 0), -1};
}

static struct pair timer_unset(void)
{
	return (struct pair){timerfd_create(CLOCK_MONOTONIC, 0), -1};
}

static struct pair timer_expired(void)
{
	const struct itimerspec soon = {.it_value.tv_nsec = 1};
	struct pair pair = timer_unset();
	struct pollfd pfd = {.fd = pair.fd, .events = POLLIN};

	CHECK_EQ(timerfd_settime(pair.fd, 0, &soon, NULL), 0);
	CHECK_EQ(poll(&pfd, 1, 1000), 1);
	return pair;
}

static struct pair inotify_empty(void)
{
	return (struct pair){inotify_init(), -1};
}

static struct pair signal_none(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return (struct pair){signalfd(-1, &set, 0), -1};
}

static struct pair epoll_empty(void)
{
	return (struct pair){epoll_create1(0), -1};
}

static struct pair device_null(void)
{
	return (struct pair){open("/dev/null", O_RDWR), -1};
}

static struct pair device_zero(void)
{
	return (struct pair){open("/dev/zero", O_RDONLY), -1};
}

static struct pair file_in_memory(void)
{
	int fd = memfd_create("taio", 0);

	CHECK_EQ(write(fd, "0123456789", 10), 10);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	return (struct pair){fd, -1};
}

static struct pair file_write_only(void)
{
	char path[] = "/tmp/taio-file-XXXXXX";
	int fd = mkstemp(path), again;

	CHECK(fd >= 0);
	again = open(path, O_WRONLY);
	close(fd);
	unlink(path);
	return (struct pair){again, -1};
}

static struct pair path_only(void)
{
	return (struct pair){open("/dev/null", O_PATH), -1};
}

#define KIND(name) #name, name

static const struct kind {
	const char *name;
	struct pair (*make)(void);
	int refused;	  /* by taio_attach(), or 0 */
	const char *only; /* by engines that begin so; NULL: all */
} kinds[] = {
	{KIND(pipe_reader), 0, NULL},
	{KIND(pipe_writer), 0, NULL},
	{KIND(pipe_without_writer), 0, NULL},
	{KIND(pipe_without_reader), 0, NULL},
	{KIND(fifo_that_never_had_a_writer), 0, NULL},
	{KIND(fifo_both_ways), 0, NULL},
	{KIND(tcp_listening), 0, NULL},
	{KIND(tcp_unconnected), 0, NULL},
	{KIND(tcp_connected), 0, NULL},
	{KIND(tcp_shut_for_reading), 0, NULL},
	{KIND(tcp_shut_for_writing), 0, NULL},
	{KIND(udp_unbound), 0, NULL},
	{KIND(unix_unconnected), 0, NULL},
	{KIND(unix_datagrams), 0, NULL},
	{KIND(event_empty), 0, NULL},
	{KIND(event_set), 0, NULL},
	{KIND(timer_unset), 0, NULL},
	{KIND(timer_expired), 0, NULL},
	{KIND(inotify_empty), 0, NULL},
	{KIND(signal_none), -EOPNOTSUPP, "poll kmod"},
	{KIND(epoll_empty), 0, NULL},
	{KIND(device_null), 0, NULL},
	{KIND(device_zero), 0, NULL},
	{KIND(file_in_memory), 0, NULL},
	{KIND(file_write_only), 0, NULL},
	{KIND(path_only), -EBADF, NULL},
};

static const struct action {
	const char *name;
	int opcode;
	size_t nbytes; /* or the events */
} actions[] = {
	{"read 0", IO_CMD_PREAD, 0},   {"read 1", IO_CMD_PREAD, 1},	 {"read 4", IO_CMD_PREAD, 4},
	{"read 64", IO_CMD_PREAD, 64}, {"write 0", IO_CMD_PWRITE, 0},	 {"write 1", IO_CMD_PWRITE, 1},
	{"write 8", IO_CMD_PWRITE, 8}, {"poll in", IO_CMD_POLL, POLLIN}, {"poll out", IO_CMD_POLL, POLLOUT},
};

/* What the call answers on @fd, which does not block. -EAGAIN: it would wait. */
static long answer_of(const struct action *action, int fd)
{
	struct pollfd pfd = {.fd = fd, .events = (short)action->nbytes};
	char buf[64] = {1};
	long res;

	CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
	switch (action->opcode) {
	case IO_CMD_PREAD:
		res = read(fd, buf, action->nbytes);
		break;
	case IO_CMD_PWRITE:
		res = write(fd, buf, action->nbytes);
		break;
	default:
		return poll(&pfd, 1, 0) == 1 ? pfd.revents : -EAGAIN;
	}
	return res < 0 ? -errno : res;
}

static void prepare(const struct action *action, struct op *op, int fd, char *buf)
{
	switch (action->opcode) {
	case IO_CMD_PREAD:
		op_read(op, fd, buf, action->nbytes);
		break;
	case IO_CMD_PWRITE:
		op_write(op, fd, buf, action->nbytes);
		break;
	default:
		op_poll(op, fd, (int)action->nbytes);
	}
}

static void pair_close(struct pair pair)
{
	close(pair.fd);
	if (pair.other >= 0)
		close(pair.other);
}

/* "poll kmod" names kmod:task, too. */
static bool is_refused_by(const struct kind *kind, const char *engine)
{
	size_t len = strcspn(engine, ":");
	const char *at;
	char name[16] = "";

	if (!kind->refused || !kind->only)
		return kind->refused;
	memcpy(name, engine, len < sizeof(name) ? len : sizeof(name) - 1);
	at = strstr(kind->only, name);
	return at && (at[len] == ' ' || !at[len]);
}

static bool is_stream(int fd)
{
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	return !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
}

static void check_action(struct scene *s, const struct kind *kind, const struct action *action, int afd,
			 long want)
{
	char buf[64] = {1};
	struct op op;
	long got;

	prepare(action, &op, afd, buf);
	op_start(s, &op);
	if (want == -EAGAIN) {
		op_cancel(s, &op);
		want = -ECANCELED;
	}
	got = await(s, &op);
	if (got != want)
		fail_at(HERE(), "%s of %s: %ld, and not %ld", action->name, kind->name, got, want);
}

static void check_kind(struct scene *s, const struct kind *kind)
{
	for (unsigned int i = 0; i < ARRAY_LEN(actions); i++) {
		struct pair plain = kind->make(), pair = kind->make();
		int flags, afd;

		CHECK(plain.fd >= 0 && pair.fd >= 0);
		flags = fcntl(pair.fd, F_GETFL);
		afd = taio_attach(s->ring, pair.fd, TAIO_CLASS_ASK);
		if (is_refused_by(kind, s->engine)) {
			CHECK_EQ(afd, kind->refused);
		} else if (afd < 0) {
			fail_at(HERE(), "attach of %s: %s", kind->name, strerror(-afd));
		} else {
			/* Files are not polled. */
			if (actions[i].opcode != IO_CMD_POLL || is_stream(pair.fd))
				check_action(s, kind, &actions[i], afd, answer_of(&actions[i], plain.fd));
			taio_detach(s->ring, afd);
		}
		if (fcntl(pair.fd, F_GETFL) != flags)
			fail_at(HERE(), "%s: file status flags 0%o, were 0%o", kind->name,
				fcntl(pair.fd, F_GETFL), flags);
		pair_close(plain);
		pair_close(pair);
	}
}

TEST_CASE(what_a_call_answers_at_once_is_an_event_at_once, ON(NONE))
{
	/* A case of its own would be in the name of each; a failure tells its kind and action. */
	scene_ring(s, 8, 0);
	for (unsigned int i = 0; i < ARRAY_LEN(kinds); i++)
		check_kind(s, &kinds[i]);
}

/* An operation that waits gets what comes later, on a descriptor that is tried first, too. */
TEST_CASE(descriptors_of_other_kinds_wait_for_what_comes, ON(NONE))
{
	const struct itimerspec soon = {.it_value.tv_nsec = 20000000};
	struct pair event = event_empty(), timer = timer_unset(), fifo = fifo_both_ways();
	uint64_t count = 0, expired = 0, one = 1;
	struct op ops[3];
	char byte = 0;

	scene_ring(s, 8, 0);
	read_start(s, &ops[0], taio_attach(s->ring, event.fd, TAIO_CLASS_ASK), &count, sizeof(count));
	read_start(s, &ops[1], taio_attach(s->ring, timer.fd, TAIO_CLASS_ASK), &expired, sizeof(expired));
	read_start(s, &ops[2], taio_attach(s->ring, fifo.fd, TAIO_CLASS_ASK), &byte, 1);
	stay_quiet(s);
	CHECK_EQ(write(event.fd, &one, sizeof(one)), sizeof(one));
	CHECK_EQ(await(s, &ops[0]), sizeof(count));
	CHECK_EQ(count, 1);
	CHECK_EQ(timerfd_settime(timer.fd, 0, &soon, NULL), 0);
	CHECK_EQ(await(s, &ops[1]), sizeof(expired));
	CHECK_EQ(expired, 1);
	CHECK_EQ(write(fifo.fd, "x", 1), 1);
	CHECK_EQ(await(s, &ops[2]), 1);
	scene_close_ring(s);
	pair_close(event);
	pair_close(timer);
	pair_close(fifo);
}
