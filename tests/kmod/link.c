/* SPDX-License-Identifier: MIT */
/* The files behind the proxies: connected pairs and plain files, and what the far end does with them. */
#include "kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* Small and fixed, so that a buffer is full soon and stays full. */
#define SOCKET_BUFFER 16384

static void buffers_set(int fd)
{
	int nbytes = SOCKET_BUFFER;

	SYS(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &nbytes, sizeof(nbytes)));
	SYS(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &nbytes, sizeof(nbytes)));
}

static void tcp_pair(int fds[2])
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), on = 1;
	socklen_t len = sizeof(addr);

	buffers_set(listener); /* inherited by accept(2) */
	SYS(bind(listener, (struct sockaddr *)&addr, len));
	SYS(listen(listener, 1));
	SYS(getsockname(listener, (struct sockaddr *)&addr, &len));
	fds[1] = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	buffers_set(fds[1]);
	SYS(connect(fds[1], (struct sockaddr *)&addr, len));
	fds[0] = SYS(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	for (int i = 0; i < 2; i++)
		SYS(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
	close(listener);
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
static void terminal_pair(int fds[2])
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

/* A name and no O_TMPFILE: not every root file system has the latter. */
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

	*link = (struct link){.proxy_in = -1, .proxy_out = -1};
	if (kind == LINK_PIPE) {
		pipes_make(link);
		return;
	}
	if (kind == LINK_TCP)
		tcp_pair(fds);
	else if (kind == LINK_TTY)
		terminal_pair(fds);
	else if (kind == LINK_FILE)
		fds[0] = file_make();
	link->in = link->out = fds[0];
	link->peer_in = link->peer_out = fds[1];
}

void link_attach(struct scene *s, struct link *link)
{
	link->proxy_in = proxy_make(s, link->in);
	link->proxy_out = link->out == link->in ? link->proxy_in : proxy_make(s, link->out);
}

void fd_close(int *fd)
{
	if (*fd >= 0)
		SYS(close(*fd));
	*fd = -1;
}

static void close_both(int *a, int *b)
{
	if (*b == *a)
		*b = -1;
	fd_close(a);
	fd_close(b);
}

void link_detach(struct link *link)
{
	close_both(&link->proxy_in, &link->proxy_out);
}

void link_peer_close(struct link *link)
{
	close_both(&link->peer_in, &link->peer_out);
}

void link_destroy(struct link *link)
{
	link_detach(link);
	close_both(&link->in, &link->out);
	link_peer_close(link);
}

size_t link_fill(struct link *link, enum link_kind kind)
{
	static const char page[4096];
	int there = 0;
	size_t total = 0;
	ssize_t n;

	if (kind == LINK_PIPE) {
		SYS(fcntl(link->out, F_SETPIPE_SZ, sizeof(page)));
		SYS(ioctl(link->out, FIONREAD, &there));
		if (there < (int)sizeof(page))
			total = (size_t)SYS(write(link->out, page, sizeof(page) - (size_t)there));
		return total;
	}
	while ((n = send(link->out, page, sizeof(page), MSG_DONTWAIT)) > 0)
		total += (size_t)n;
	CHECK_EQ(errno, EAGAIN);
	return total;
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

/* Not by poll(2): a pipe that a write has left with nothing but an empty buffer says that it is readable. */
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

bool is_readable(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int64_t until = now_ms() + timeout_ms;
	int ret;

	do {
		int64_t left = until - now_ms();

		ret = poll(&pfd, 1, left > 0 ? (int)left : 0);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0) /* no HERE(): the caller's place is the better one */
		fail_at(THERE(), "poll: %m");
	return ret > 0;
}

void fd_send(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	CHECK_EQ(sendmsg(sock, &msg, 0), 1);
}

int fd_receive(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd;

	CHECK_EQ(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC), 1);
	CHECK(CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

static uint64_t pattern_word(uint64_t index, uint64_t seed)
{
	uint64_t x = index * 0x9e3779b97f4a7c15u + seed * 0xbf58476d1ce4e5b9u;

	x ^= x >> 29;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 32;
}

/* Byte @offset, from @word, which is kept from one byte to the next. */
static uint8_t pattern_next(uint64_t *word, uint64_t offset, uint64_t seed, bool is_first)
{
	if (is_first || !(offset & 7))
		*word = pattern_word(offset >> 3, seed);
	return (uint8_t)(*word >> (offset & 7) * 8);
}

void pattern_fill(void *buf, size_t nbytes, uint64_t offset, uint64_t seed)
{
	uint64_t word = 0;

	for (size_t i = 0; i < nbytes; i++)
		((uint8_t *)buf)[i] = pattern_next(&word, offset + i, seed, !i);
}

void pattern_check_(const void *buf, size_t nbytes, uint64_t offset, uint64_t seed)
{
	uint64_t word = 0;

	for (size_t i = 0; i < nbytes; i++)
		if (((const uint8_t *)buf)[i] != pattern_next(&word, offset + i, seed, !i))
			fail_at(THERE(), "byte %zu of stream %ju is wrong", (size_t)offset + i,
				(uintmax_t)seed);
}
