/* SPDX-License-Identifier: MIT */
/* The files under test, and plain system calls on them, which are repeated when interrupted. Any thread. */
#include "tests/case/link.h"

#include "tests/case/process.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* Small and fixed, so that a buffer fills up soon and stays full. */
#define SOCKET_BUFFER 16384

const struct link_name link_names[LINK_KINDS] = {
	{"tcp", LINK_TCP}, {"unix", LINK_UNIX}, {"pipe", LINK_PIPE},
	{"tty", LINK_TTY}, {"file", LINK_FILE}, {"none", LINK_NONE},
};

static void buffers_set(int fd, int nbytes)
{
	if (!nbytes)
		return;
	SYS(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &nbytes, sizeof(nbytes)));
	SYS(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &nbytes, sizeof(nbytes)));
}

void tcp_pair(int fds[2], int nbytes)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), on = 1;
	socklen_t len = sizeof(addr);

	buffers_set(listener, nbytes); /* inherited by accept(2) */
	SYS(bind(listener, (struct sockaddr *)&addr, len));
	SYS(listen(listener, 1));
	SYS(getsockname(listener, (struct sockaddr *)&addr, &len));
	fds[1] = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	buffers_set(fds[1], nbytes);
	SYS(connect(fds[1], (struct sockaddr *)&addr, len));
	fds[0] = SYS(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	for (int i = 0; i < 2; i++)
		SYS(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
	close(listener);
}

static void unix_pair(int fds[2])
{
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	buffers_set(fds[0], SOCKET_BUFFER);
	buffers_set(fds[1], SOCKET_BUFFER);
}

static void pipes_make(struct link *link)
{
	int in[2], out[2];

	SYS(pipe2(in, O_CLOEXEC));
	SYS(pipe2(out, O_CLOEXEC));
	link->in = in[0];
	link->peer_out = in[1];
	link->peer_in = out[0];
	link->out = out[1];
}

/* Raw: bytes go through as they are, none of them a signal, an echo or the end of a line. */
void terminal_pair(int fds[2])
{
	struct termios mode;
	char name[64];

	fds[1] = SYS(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
	SYS(grantpt(fds[1]));
	SYS(unlockpt(fds[1]));
	CHECK_EQ(ptsname_r(fds[1], name, sizeof(name)), 0);
	fds[0] = SYS(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
	SYS(tcgetattr(fds[0], &mode));
	cfmakeraw(&mode);
	SYS(tcsetattr(fds[0], TCSANOW, &mode));
}

/* By name: not every root file system supports O_TMPFILE. */
static int file_make(void)
{
	const char *dir = getenv("TMPDIR");
	char path[256];
	int fd;

	CHECK(snprintf(path, sizeof(path), "%s/taio-XXXXXX", dir ? dir : "/tmp") < (int)sizeof(path));
	fd = SYS(mkostemp(path, O_CLOEXEC));
	SYS(unlink(path));
	return fd;
}

void link_make(struct link *link, enum link_kind kind)
{
	int fds[2] = {-1, -1};

	*link = (struct link){.afd_in = -1, .afd_out = -1};
	if (kind == LINK_PIPE) {
		pipes_make(link);
		return;
	}
	if (kind == LINK_TCP)
		tcp_pair(fds, SOCKET_BUFFER);
	else if (kind == LINK_UNIX)
		unix_pair(fds);
	else if (kind == LINK_TTY)
		terminal_pair(fds);
	else if (kind == LINK_FILE)
		fds[0] = file_make();
	link->in = link->out = fds[0];
	link->peer_in = link->peer_out = fds[1];
}

void fd_close(int *fd)
{
	if (*fd >= 0)
		SYS(close(*fd));
	*fd = -1;
}

void fds_close(int *a, int *b)
{
	if (*b == *a)
		*b = -1;
	fd_close(a);
	fd_close(b);
}

void link_peer_close(struct link *link)
{
	fds_close(&link->peer_in, &link->peer_out);
}

void link_destroy(struct link *link)
{
	fds_close(&link->in, &link->out);
	link_peer_close(link);
}

/* read(2) or write(2) of all bytes, interrupted or not. */
#define TRANSFER_ALL(call, fd, buf, nbytes)                                                                  \
	do {                                                                                                 \
		for (size_t done_ = 0; done_ < (nbytes);) {                                                  \
			ssize_t n_ = call(fd, (char *)(buf) + done_, (nbytes)-done_);                        \
			if (n_ <= 0 && !(n_ < 0 && errno == EINTR))                                          \
				fail_at(THERE(), #call " of the test's side: %zd, %m", n_);                  \
			done_ += n_ > 0 ? (size_t)n_ : 0;                                                    \
		}                                                                                            \
	} while (0)

void peer_write(struct link *link, const void *buf, size_t nbytes)
{
	TRANSFER_ALL(write, link->peer_out, (uintptr_t)buf, nbytes);
}

void fd_read(int fd, void *buf, size_t nbytes)
{
	TRANSFER_ALL(read, fd, buf, nbytes);
}

void peer_read(struct link *link, void *buf, size_t nbytes)
{
	fd_read(link->peer_in, buf, nbytes);
}

/* Not by poll(2): a pipe in which a write has left only an empty buffer reports that it is readable. */
size_t fd_read_some(int fd, void *buf, size_t nbytes)
{
	int there;
	ssize_t n;

	if (ioctl(fd, FIONREAD, &there))
		fail_at(THERE(), "FIONREAD: %m");
	if (!there)
		return 0;
	do
		n = read(fd, buf, nbytes);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		fail_at(THERE(), "read of the test's side: %m");
	return (size_t)n;
}

static int poll_all(int fd, int events, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = (short)events};
	int64_t until = now_ms() + timeout_ms;
	int ret;

	do {
		int64_t left = until - now_ms();

		ret = poll(&pfd, 1, left > 0 ? (int)left : 0);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0) /* no HERE(): the caller's place is the better one */
		fail_at(THERE(), "poll: %m");
	return pfd.revents;
}

bool is_readable(int fd, int timeout_ms)
{
	return poll_all(fd, POLLIN, timeout_ms);
}

size_t peer_read_some(struct link *link, void *buf, size_t nbytes)
{
	size_t n = fd_read_some(link->peer_in, buf, nbytes);

	if (!n && poll_all(link->peer_in, POLLRDHUP, 0))
		fail_at(THERE(), "the near end is closed");
	return n;
}
