/* SPDX-License-Identifier: MIT */
/*
 * The files that the suite reads and writes: connected pairs and plain files, and what the far end does with
 * them. Knows nothing of rings.
 */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* Small and fixed, so that a buffer is full soon and stays full. */
#define SOCKET_BUFFER 65536

static void buffers_set(int fd)
{
	int nbytes = SOCKET_BUFFER;

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &nbytes, sizeof(nbytes)), 0);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &nbytes, sizeof(nbytes)), 0);
}

static void tcp_pair(int fds[2])
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	CHECK(listener >= 0);
	buffers_set(listener); /* inherited by accept(2) */
	CHECK_EQ(bind(listener, (struct sockaddr *)&addr, len), 0);
	CHECK_EQ(listen(listener, 1), 0);
	CHECK_EQ(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fds[1] >= 0);
	buffers_set(fds[1]);
	CHECK_EQ(connect(fds[1], (struct sockaddr *)&addr, len), 0);
	fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(fds[0] >= 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	close(listener);
}

static void unix_pair(int fds[2])
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	buffers_set(fds[0]);
	buffers_set(fds[1]);
}

static void pipes_make(struct link *link)
{
	int in[2], out[2];

	CHECK_EQ(pipe2(in, O_CLOEXEC), 0);
	CHECK_EQ(pipe2(out, O_CLOEXEC), 0);
	*link = (struct link){.in = in[0], .peer_out = in[1], .peer_in = out[0], .out = out[1]};
}

/* Raw: bytes go through as they are, none of them a signal, an echo or the end of a line. */
static void terminal_pair(int fds[2])
{
	struct termios mode;
	char name[64];

	fds[1] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(fds[1] >= 0);
	CHECK_EQ(grantpt(fds[1]), 0);
	CHECK_EQ(unlockpt(fds[1]), 0);
	CHECK_EQ(ptsname_r(fds[1], name, sizeof(name)), 0);
	fds[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(fds[0] >= 0);
	CHECK_EQ(tcgetattr(fds[0], &mode), 0);
	cfmakeraw(&mode);
	CHECK_EQ(tcsetattr(fds[0], TCSANOW, &mode), 0);
}

static int file_make(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	return fd;
}

void link_make(struct link *link, enum link_kind kind)
{
	int fds[2] = {-1, -1};

	switch (kind) {
	case LINK_PIPE:
		pipes_make(link);
		return;
	case LINK_TCP:
		tcp_pair(fds);
		break;
	case LINK_TTY:
		terminal_pair(fds);
		break;
	case LINK_FILE:
		fds[0] = file_make();
		break;
	default:
		unix_pair(fds);
	}
	*link = (struct link){.in = fds[0], .out = fds[0], .peer_in = fds[1], .peer_out = fds[1]};
}

static void close_both(int *a, int *b)
{
	if (*b >= 0 && *b != *a)
		close(*b);
	if (*a >= 0)
		close(*a);
	*a = *b = -1;
}

void link_peer_close(struct link *link)
{
	close_both(&link->peer_in, &link->peer_out);
}

void link_destroy(struct link *link)
{
	close_both(&link->in, &link->out);
	link_peer_close(link);
}

void peer_write(struct link *link, const void *buf, size_t nbytes)
{
	for (size_t done = 0; done < nbytes;) {
		ssize_t n = write(link->peer_out, (const char *)buf + done, nbytes - done);

		CHECK(n > 0);
		done += (size_t)n;
	}
}

void peer_read(struct link *link, void *buf, size_t nbytes)
{
	for (size_t done = 0; done < nbytes;) {
		ssize_t n = read(link->peer_in, (char *)buf + done, nbytes - done);

		CHECK(n > 0);
		done += (size_t)n;
	}
}

size_t peer_read_some(struct link *link, void *buf, size_t nbytes)
{
	ssize_t n;

	if (!is_readable(link->peer_in, 0))
		return 0;
	n = read(link->peer_in, buf, nbytes);
	CHECK(n > 0);
	return (size_t)n;
}

bool is_readable(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int ret = poll(&pfd, 1, timeout_ms);

	if (ret < 0) /* no HERE(): the caller's place is the better one */
		fail_at(atomic_load(&report->at), "poll: %s", strerror(errno));
	return ret > 0;
}

static uint8_t pattern_at(uint64_t offset, uint64_t seed)
{
	uint64_t x = (offset >> 3) * 0x9e3779b97f4a7c15u + seed * 0xbf58476d1ce4e5b9u;

	x ^= x >> 29;
	x *= 0x94d049bb133111ebu;
	x ^= x >> 32;
	return (uint8_t)(x >> (offset & 7) * 8);
}

void pattern_fill(void *buf, size_t nbytes, uint64_t offset, uint64_t seed)
{
	for (size_t i = 0; i < nbytes; i++)
		((uint8_t *)buf)[i] = pattern_at(offset + i, seed);
}

void pattern_check_(const void *buf, size_t nbytes, uint64_t offset, uint64_t seed)
{
	for (size_t i = 0; i < nbytes; i++)
		if (((const uint8_t *)buf)[i] != pattern_at(offset + i, seed))
			fail_at(atomic_load(&report->at), "byte %zu of stream %ju is wrong",
				(size_t)offset + i, (uintmax_t)seed);
}
