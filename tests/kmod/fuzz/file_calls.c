/* SPDX-License-Identifier: MIT */
/* Calls on descriptors other than those of fs/aio: on files, on their proxies, on descriptors that are no
 * more. */
#include "fuzz.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Mostly waits only where there is something: a thread that sleeps makes no calls. */
static bool is_worth(struct rng *rng, int fd, short events)
{
	struct pollfd pollfd = {.fd = fd, .events = events};

	return rng_percent(rng, 15) || poll(&pollfd, 1, 0) > 0;
}

CALL(read, 8)
{
	int fd = any_pick(&a->rng);
	size_t nbytes;
	void *buf = memory_pick(&a->rng, &nbytes);

	if (is_worth(&a->rng, fd, POLLIN))
		(void)!read(fd, buf, nbytes);
}

CALL(write, 8)
{
	int fd = any_pick(&a->rng);
	size_t nbytes;
	void *buf = memory_pick(&a->rng, &nbytes);

	if (is_worth(&a->rng, fd, POLLOUT))
		(void)!write(fd, buf, nbytes);
}

/* What files and proxies wait for: some bytes into one end, and out of the other. */
CALL(feed, 14)
{
	char bytes[4096] = {0};
	size_t n = 1 + rng_below(&a->rng, sizeof(bytes));
	int fd = raw_pick(&a->rng);

	if (send(fd, bytes, n, MSG_DONTWAIT) < 0 && is_worth(&a->rng, fd, POLLOUT))
		(void)!write(fd, bytes, n);
}

CALL(swallow, 8)
{
	char bytes[4096];
	int fd = raw_pick(&a->rng);

	if (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0 && is_worth(&a->rng, fd, POLLIN))
		(void)!read(fd, bytes, sizeof(bytes));
}

CALL(readv, 4)
{
	int fd = any_pick(&a->rng), n = segments_pick(a, 0, UIO_MAXIOV);

	if (is_worth(&a->rng, fd, POLLIN))
		preadv2(fd, a->iov, n, rng_percent(&a->rng, 70) ? -1 : (off_t)rng_below(&a->rng, 1 << 16),
			1 << rng_below(&a->rng, 6));
}

CALL(writev, 4)
{
	int fd = any_pick(&a->rng), n = segments_pick(a, 0, UIO_MAXIOV);

	if (is_worth(&a->rng, fd, POLLOUT))
		pwritev2(fd, a->iov, n, rng_percent(&a->rng, 70) ? -1 : (off_t)rng_below(&a->rng, 1 << 16),
			 1 << rng_below(&a->rng, 6));
}

CALL(poll, 4)
{
	struct pollfd fds[4];

	for (unsigned int i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = (struct pollfd){any_pick(&a->rng), POLLIN | POLLOUT | POLLRDHUP, 0};
	poll(fds, 1 + rng_below(&a->rng, ARRAY_LEN(fds)), (int)rng_below(&a->rng, 3));
}

CALL(epoll, 4)
{
	static const int ops[] = {EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL};
	struct epoll_event event = {.events = (uint32_t)rng_next(&a->rng)}, events[4];
	int set = rng_percent(&a->rng, 60) ? epoll_create1(EPOLL_CLOEXEC) : raw_pick(&a->rng);

	for (unsigned int i = rng_below(&a->rng, 4); i--;)
		epoll_ctl(set, rng_pick(&a->rng, ops), any_pick(&a->rng), &event);
	epoll_wait(set, events, ARRAY_LEN(events), (int)rng_below(&a->rng, 2));
	raw_put(&a->rng, set);
}

CALL(lseek, 2)
{
	lseek(any_pick(&a->rng), (off_t)rng_below(&a->rng, 1 << 16) - 100, (int)rng_below(&a->rng, 6));
}

CALL(nonblock, 3)
{
	static const int flags[] = {O_NONBLOCK, O_APPEND, O_DIRECT, O_ASYNC, O_NOATIME};
	int fd = any_pick(&a->rng), now = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL,
	      rng_percent(&a->rng, 60) ? now & ~rng_pick(&a->rng, flags) : now | rng_pick(&a->rng, flags));
}

CALL(fsync, 2)
{
	int fd = any_pick(&a->rng);

	if (rng_percent(&a->rng, 50))
		fsync(fd);
	else
		fdatasync(fd);
}

CALL(ftruncate, 2)
{
	(void)!ftruncate(any_pick(&a->rng), rng_below(&a->rng, 1 << 16));
}

CALL(fallocate, 1)
{
	static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE};

	fallocate(any_pick(&a->rng), rng_pick(&a->rng, modes), rng_below(&a->rng, 1 << 15),
		  1 + rng_below(&a->rng, 1 << 15));
}

CALL(locks, 1)
{
	struct flock lock = {.l_type = rng_percent(&a->rng, 50) ? F_RDLCK : F_WRLCK, .l_len = 100};
	int fd = any_pick(&a->rng);

	flock(fd, LOCK_EX | LOCK_NB);
	fcntl(fd, F_SETLK, &lock);
	fcntl(fd, F_OFD_SETLK, &lock);
}

CALL(fstat, 1)
{
	char path[64];
	struct stat st = {0};
	int fd = any_pick(&a->rng);

	fstat(fd, &st);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (S_ISREG(st.st_mode))
		raw_put(&a->rng, open(path, O_RDWR | O_NONBLOCK));
}

CALL(splice, 2)
{
	int from = any_pick(&a->rng), to = any_pick(&a->rng);

	if (rng_percent(&a->rng, 50))
		splice(from, NULL, to, NULL, rng_below(&a->rng, 8192), SPLICE_F_NONBLOCK);
	else if (is_worth(&a->rng, to, POLLOUT))
		sendfile(to, from, NULL, rng_below(&a->rng, 8192));
}

CALL(shutdown, 3)
{
	shutdown(rng_percent(&a->rng, 90) ? raw_pick(&a->rng) : proxy_pick(&a->rng),
		 (int)rng_below(&a->rng, 4));
}

CALL(sockopt, 3)
{
	static const int sizes[] = {0, 1, 2048, 100000};
	struct linger linger = {.l_onoff = 1, .l_linger = 0};
	struct timeval soon = {.tv_usec = 2000};
	int fd = raw_pick(&a->rng), size = rng_pick(&a->rng, sizes);

	switch (rng_below(&a->rng, 6)) {
	case 0:
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		break;
	case 1:
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
		break;
	case 2:
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
		break;
	case 3:
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		break;
	case 4:
		setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &size, sizeof(size));
		break;
	case 5:
		fcntl(fd, F_SETPIPE_SZ, size);
		break;
	}
}

CALL(open, 5)
{
	target_make(&a->rng);
}

CALL(close, 6)
{
	int fd = any_take(&a->rng);

	if (fd >= 0)
		close(fd);
}

CALL(dup, 2)
{
	int fd = any_pick(&a->rng), copy = fcntl(fd, rng_percent(&a->rng, 50) ? F_DUPFD : F_DUPFD_CLOEXEC, 3);

	if (rng_percent(&a->rng, 50))
		raw_put(&a->rng, copy);
	else
		proxy_put(&a->rng, copy);
}

/* Over a proxy or a file, which is closed by it. Only over descriptors of ours. */
CALL(dup2, 2)
{
	int from = any_pick(&a->rng), to = any_pick(&a->rng);

	if (to > STDERR_FILENO && to < SHARED_FD && fcntl(to, F_GETFD) >= 0)
		dup2(from, to);
}

/* Through a socket and back, or left in it. */
CALL(pass, 2)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int pair[2], fd = any_pick(&a->rng);

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		return;
	*cmsg = (struct cmsghdr){
		.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	*(int *)CMSG_DATA(cmsg) = fd;
	if (sendmsg(pair[0], &msg, MSG_DONTWAIT) == 1 && rng_percent(&a->rng, 70)) {
		msg.msg_controllen = sizeof(control);
		if (recvmsg(pair[1], &msg, MSG_DONTWAIT) == 1 && msg.msg_controllen)
			proxy_put(&a->rng, *(int *)CMSG_DATA(CMSG_FIRSTHDR(&msg)));
	}
	close(pair[0]);
	close(pair[1]);
}
