/* SPDX-License-Identifier: MIT */
/*
 * One of every kind of descriptor, by plain system calls. Knows no ring. A maker and a row for each of them, which
 * is why this file is longer than others.
 */
#include "kinds.h"

#include "tests/case/link.h"
#include "tests/case/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_BUFFER 16384

static struct pair alone(int fd)
{
	return (struct pair){SYS(fd), -1};
}

static struct pair pair_of(const int fds[2])
{
	return (struct pair){fds[0], fds[1]};
}

static struct pair turned(struct pair pair)
{
	return (struct pair){pair.other, pair.fd};
}

void pair_close(struct pair pair)
{
	close(pair.fd);
	if (pair.other >= 0)
		close(pair.other);
}

static struct pair with_other_closed(struct pair pair)
{
	close(pair.other);
	return alone(pair.fd);
}

static void nonblocking(int fd)
{
	SYS(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

/* By plain writes, of whole buffers and then of single bytes. */
static struct pair filled(struct pair pair)
{
	static const char zeroes[4096];
	int flags = fcntl(pair.fd, F_GETFL);

	nonblocking(pair.fd);
	while (write(pair.fd, zeroes, sizeof(zeroes)) > 0)
		;
	while (write(pair.fd, zeroes, 1) > 0)
		;
	SYS(fcntl(pair.fd, F_SETFL, flags));
	return pair;
}

/* --- what ends a wait --- */

static void other_writes(struct pair *pair)
{
	CHECK_EQ(write(pair->other, "12345678", 8), 8);
}

static void other_closes(struct pair *pair)
{
	close(pair->other);
	pair->other = -1;
}

static void other_reads_all(struct pair *pair)
{
	char buf[4096];

	nonblocking(pair->other);
	while (read(pair->other, buf, sizeof(buf)) > 0)
		;
}

static void itself_is_written(struct pair *pair)
{
	const uint64_t one = 1;

	CHECK_EQ(write(pair->fd, &one, sizeof(one)), sizeof(one));
}

static void itself_is_read(struct pair *pair)
{
	uint64_t count;

	CHECK_EQ(read(pair->fd, &count, sizeof(count)), sizeof(count));
}

/* --- pipes --- */

struct pair pipe_reader(void)
{
	int fds[2];

	SYS(pipe(fds));
	return pair_of(fds);
}

struct pair pipe_writer(void)
{
	return turned(pipe_reader());
}

static struct pair pipe_full(void)
{
	return filled(pipe_writer());
}

static struct pair pipe_without_writer(void)
{
	return with_other_closed(pipe_reader());
}

static struct pair pipe_without_reader(void)
{
	return with_other_closed(pipe_writer());
}

static struct pair fifo_pair(int flags)
{
	char path[] = "/tmp/taio-fifo-XXXXXX";
	int fd = SYS(mkstemp(path));

	close(fd);
	SYS(unlink(path));
	SYS(mkfifo(path, 0600));
	fd = open(path, flags | O_NONBLOCK);
	unlink(path);
	return alone(fd);
}

static struct pair fifo_that_never_had_a_writer(void)
{
	return fifo_pair(O_RDONLY);
}

static struct pair fifo_both_ways(void)
{
	return fifo_pair(O_RDWR);
}

/* --- sockets --- */

static struct pair socket_of(int domain, int type)
{
	return alone(socket(domain, type, 0));
}

static struct pair socket_pair(int type)
{
	int fds[2];

	SYS(socketpair(AF_UNIX, type, 0, fds));
	return pair_of(fds);
}

static struct sockaddr_in address_of(int fd)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	SYS(getsockname(fd, (struct sockaddr *)&addr, &len));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return addr;
}

static void connect_to(int fd, int listening)
{
	struct sockaddr_in addr = address_of(listening);

	SYS(connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
}

static struct pair tcp_listening(void)
{
	struct pair pair = socket_of(AF_INET, SOCK_STREAM);

	SYS(listen(pair.fd, 1));
	return pair;
}

static void somebody_connects(struct pair *pair)
{
	pair->other = SYS(socket(AF_INET, SOCK_STREAM, 0));
	connect_to(pair->other, pair->fd);
}

static struct pair tcp_unconnected(void)
{
	return socket_of(AF_INET, SOCK_STREAM);
}

static struct pair tcp_connected(void)
{
	int fds[2];

	tcp_pair(fds, 0);
	return pair_of(fds);
}

static struct pair tcp_shut(int how)
{
	struct pair pair = tcp_connected();

	SYS(shutdown(pair.fd, how));
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

static void other_resets(struct pair *pair)
{
	const struct linger none = {.l_onoff = 1};

	SYS(setsockopt(pair->other, SOL_SOCKET, SO_LINGER, &none, sizeof(none)));
	other_closes(pair);
}

static struct pair tcp_closed_by_peer(void)
{
	struct pair pair = tcp_connected();

	other_closes(&pair);
	return pair;
}

static struct pair tcp_reset_by_peer(void)
{
	struct pair pair = tcp_connected();

	other_resets(&pair);
	return pair;
}

static struct pair udp_unbound(void)
{
	return socket_of(AF_INET, SOCK_DGRAM);
}

static struct pair udp_connected(void)
{
	struct pair pair = {udp_unbound().fd, udp_unbound().fd};
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	SYS(bind(pair.fd, (struct sockaddr *)&any, sizeof(any)));
	connect_to(pair.other, pair.fd);
	connect_to(pair.fd, pair.other);
	return pair;
}

/* Nobody has the port of the other end any more: the error of the first datagram is waiting. */
static struct pair udp_refused(void)
{
	struct pair pair = with_other_closed(udp_connected());
	struct pollfd pfd = {.fd = pair.fd};

	CHECK_EQ(write(pair.fd, "x", 1), 1);
	CHECK_EQ(poll(&pfd, 1, 1000), 1);
	return pair;
}

static struct pair unix_unconnected(void)
{
	return socket_of(AF_UNIX, SOCK_STREAM);
}

static struct pair unix_listening(void)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	struct pair pair = unix_unconnected();

	SYS(bind(pair.fd, (struct sockaddr *)&any, sizeof(any.sun_family)));
	SYS(listen(pair.fd, 1));
	return pair;
}

static struct pair unix_stream(void)
{
	return socket_pair(SOCK_STREAM);
}

static struct pair unix_stream_full(void)
{
	const int nbytes = SOCKET_BUFFER;
	struct pair pair = unix_stream();

	SYS(setsockopt(pair.fd, SOL_SOCKET, SO_SNDBUF, &nbytes, sizeof(nbytes)));
	return filled(pair);
}

static struct pair unix_packets(void)
{
	return socket_pair(SOCK_SEQPACKET);
}

static struct pair unix_datagrams(void)
{
	return socket_pair(SOCK_DGRAM);
}

static struct pair unix_datagrams_full(void)
{
	return filled(unix_datagrams());
}

/* --- terminals --- */

static struct pair pty_slave(void)
{
	int fds[2];

	terminal_pair(fds);
	return pair_of(fds);
}

static struct pair pty_master(void)
{
	return turned(pty_slave());
}

/* While that happens a read fails with EIO or finds the end, as it comes: it is no wait of the table. */
static struct pair pty_slave_hung_up(void)
{
	return with_other_closed(pty_slave());
}

static struct pair pty_master_hung_up(void)
{
	return with_other_closed(pty_master());
}

static struct pair pty_master_never_opened(void)
{
	return alone(posix_openpt(O_RDWR | O_NOCTTY));
}

/* Reads whole lines. */
static struct pair pty_slave_with_lines(void)
{
	struct pair pair = pty_slave();
	struct termios mode;

	SYS(tcgetattr(pair.fd, &mode));
	mode.c_lflag |= ICANON;
	SYS(tcsetattr(pair.fd, TCSANOW, &mode));
	return pair;
}

static void other_writes_a_line(struct pair *pair)
{
	CHECK_EQ(write(pair->other, "12\n", 3), 3);
}

/* --- anonymous files --- */

struct pair event_empty(void)
{
	return alone(eventfd(0, 0));
}

static struct pair event_set(void)
{
	return alone(eventfd(7, 0));
}

static struct pair event_semaphore(void)
{
	return alone(eventfd(7, EFD_SEMAPHORE));
}

struct pair event_full(void)
{
	const uint64_t most = UINT64_MAX - 1;
	struct pair pair = event_empty();

	CHECK_EQ(write(pair.fd, &most, sizeof(most)), sizeof(most));
	return pair;
}

static struct pair timer_unset(void)
{
	return alone(timerfd_create(CLOCK_MONOTONIC, 0));
}

static void timer_expires(struct pair *pair)
{
	const struct itimerspec soon = {.it_value.tv_nsec = 1};

	SYS(timerfd_settime(pair->fd, 0, &soon, NULL));
}

static struct pair timer_expired(void)
{
	struct pair pair = timer_unset();
	struct pollfd pfd = {.fd = pair.fd, .events = POLLIN};

	timer_expires(&pair);
	CHECK_EQ(poll(&pfd, 1, 1000), 1);
	return pair;
}

static struct pair inotify_empty(void)
{
	return alone(inotify_init());
}

/* One event: more of them could come to two reads or to one. */
static void watched_file_is_unlinked(struct pair *pair)
{
	char path[] = "/tmp/taio-file-XXXXXX";

	pair->other = SYS(mkstemp(path));
	SYS(inotify_add_watch(pair->fd, path, IN_ATTRIB));
	SYS(unlink(path));
}

static struct pair signal_none(void)
{
	static const struct timespec now;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigtimedwait(&set, NULL, &now); /* one that an earlier one was brought */
	return alone(signalfd(-1, &set, 0));
}

void signal_comes(struct pair *pair)
{
	SYS(kill(getpid(), SIGUSR2));
}

static struct pair epoll_empty(void)
{
	return alone(epoll_create1(0));
}

static void member_is_added(struct pair *pair)
{
	struct epoll_event event = {.events = EPOLLIN};

	pair->other = event_set().fd;
	SYS(epoll_ctl(pair->fd, EPOLL_CTL_ADD, pair->other, &event));
}

static struct pair epoll_ready(void)
{
	struct pair pair = epoll_empty();

	member_is_added(&pair);
	return pair;
}

static struct pair set_of(struct pair member)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct pair pair = {epoll_empty().fd, member.fd};

	SYS(epoll_ctl(pair.fd, EPOLL_CTL_ADD, pair.other, &event));
	return pair;
}

struct pair epoll_of_signals(void)
{
	return set_of(signal_none());
}

static struct pair epoll_of_timer(void)
{
	return set_of(timer_unset());
}

static void member_expires(struct pair *pair)
{
	timer_expires(&(struct pair){pair->other, -1});
}

static struct pair epoll_of_events(void)
{
	return set_of(event_empty());
}

static void member_is_written(struct pair *pair)
{
	itself_is_written(&(struct pair){pair->other, -1});
}

static struct pair process_alive(void)
{
	return alone(syscall(SYS_pidfd_open, getpid(), 0));
}

/* --- devices and files --- */

static struct pair device_null(void)
{
	return alone(open("/dev/null", O_RDWR));
}

static struct pair device_zero(void)
{
	return alone(open("/dev/zero", O_RDONLY));
}

static struct pair device_full(void)
{
	return alone(open("/dev/full", O_RDWR));
}

static struct pair file_in_memory(void)
{
	int fd = SYS(memfd_create("taio", 0));

	CHECK_EQ(write(fd, "0123456789", 10), 10);
	SYS(lseek(fd, 0, SEEK_SET));
	return alone(fd);
}

/* Of ten bytes. */
static struct pair file_opened(int flags)
{
	char path[] = "/tmp/taio-file-XXXXXX";
	int fd = SYS(mkstemp(path)), again;

	CHECK_EQ(write(fd, "0123456789", 10), 10);
	again = open(path, flags);
	close(fd);
	unlink(path);
	return alone(again);
}

static struct pair file_read_only(void)
{
	return file_opened(O_RDONLY);
}

static struct pair file_write_only(void)
{
	return file_opened(O_WRONLY);
}

static struct pair file_to_append_to(void)
{
	return file_opened(O_RDWR | O_APPEND);
}

static struct pair directory(void)
{
	return alone(open("/tmp", O_RDONLY | O_DIRECTORY));
}

static struct pair path_only(void)
{
	return alone(open("/dev/null", O_PATH));
}

#define KIND(id, ...)                                                                                        \
	{                                                                                                    \
		.name = #id, .make = id, __VA_ARGS__                                                         \
	}

const struct kind kinds[] = {
	KIND(pipe_reader, .bring = other_writes),
	KIND(pipe_reader, .bring = other_closes),
	KIND(pipe_writer),
	KIND(pipe_full, .bring = other_reads_all),
	KIND(pipe_full, .bring = other_closes),
	KIND(pipe_without_writer),
	KIND(pipe_without_reader),
	KIND(fifo_that_never_had_a_writer),
	KIND(fifo_both_ways, .bring = itself_is_written),
	KIND(tcp_listening, .bring = somebody_connects),
	KIND(tcp_unconnected),
	KIND(tcp_connected, .bring = other_writes),
	KIND(tcp_connected, .bring = other_closes),
	KIND(tcp_connected, .bring = other_resets),
	KIND(tcp_shut_for_reading),
	KIND(tcp_shut_for_writing, .bring = other_writes),
	KIND(tcp_closed_by_peer),
	KIND(tcp_reset_by_peer),
	KIND(udp_unbound),
	KIND(udp_connected, .bring = other_writes),
	KIND(udp_refused),
	KIND(unix_unconnected),
	KIND(unix_listening),
	KIND(unix_stream, .bring = other_writes),
	KIND(unix_stream, .bring = other_closes),
	KIND(unix_stream_full, .bring = other_reads_all),
	KIND(unix_packets, .bring = other_writes),
	KIND(unix_datagrams, .bring = other_writes),
	KIND(unix_datagrams_full, .bring = other_reads_all),
	KIND(pty_slave, .bring = other_writes),
	KIND(pty_slave_with_lines, .bring = other_writes_a_line),
	KIND(pty_slave_hung_up),
	KIND(pty_master, .bring = other_writes),
	KIND(pty_master, .bring = other_closes),
	KIND(pty_master_hung_up),
	KIND(pty_master_never_opened),
	KIND(event_empty, .bring = itself_is_written),
	KIND(event_set),
	KIND(event_semaphore),
	KIND(event_full, .bring = itself_is_read),
	KIND(timer_unset, .bring = timer_expires),
	KIND(timer_expired),
	KIND(inotify_empty, .bring = watched_file_is_unlinked),
	KIND(signal_none, .bring = signal_comes, .refused = -EOPNOTSUPP, .only = "poll kmod"),
	KIND(epoll_empty, .bring = member_is_added),
	KIND(epoll_ready),
	KIND(epoll_of_timer, .bring = member_expires),
	KIND(epoll_of_events, .bring = member_is_written),
	KIND(process_alive),
	KIND(device_null),
	KIND(device_zero),
	KIND(device_full),
	KIND(file_in_memory),
	KIND(file_read_only),
	KIND(file_write_only),
	KIND(file_to_append_to),
	KIND(directory, .refused = -EISDIR),
	KIND(path_only, .refused = -EBADF),
};

const unsigned int nkinds = ARRAY_LEN(kinds);
