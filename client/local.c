/* SPDX-License-Identifier: MIT */
/*
 * Owns a local end: how it is attached, its offset and its flags. Called by the one thread of taio.
 * Invariant: at most one operation is in flight on it.
 */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

/* Devices such as /dev/null and /dev/zero are always ready and cannot be polled: EPERM. */
static bool is_pollable(int fd)
{
	struct epoll_event event = {.events = 0};
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	bool refused;

	if (epfd < 0)
		return true;
	refused = epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) < 0 && errno == EPERM;
	close(epfd);
	return !refused;
}

int local_open(struct local *local, struct client *client, int fd)
{
	enum taio_class class = TAIO_CLASS_ASK;
	struct stat st;

	*local = (struct local){.client = client, .fd = fd};
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISCHR(st.st_mode) && !is_pollable(fd))
		class = TAIO_CLASS_FILE;
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) {
		local->offset = lseek(fd, 0, SEEK_CUR);
		if (local->offset < 0)
			return -errno;
		local->has_offset = true;
	}
	local->flags = fcntl(fd, F_GETFL);
	local->afd = taio_attach(client->ring, fd, class);
	return local->afd < 0 ? local->afd : 0;
}

void local_close(struct local *local)
{
	op_end(local->client, &local->op);
	taio_detach(local->client->ring, local->afd);
	fcntl(local->fd, F_SETFL, local->flags);
	if (local->has_offset)
		lseek(local->fd, local->offset, SEEK_SET);
}

/* The result of the operation, once; -EAGAIN while it is in flight. */
static ssize_t local_result(struct local *local)
{
	if (local->op.state == OP_IN_FLIGHT)
		return -EAGAIN;
	local->op.state = OP_IDLE;
	if (local->op.res > 0 && local->has_offset)
		local->offset += local->op.res;
	return local->op.res;
}

ssize_t local_read_some(struct local *local, void *buf, size_t cap)
{
	int err;

	if (local->op.state != OP_IDLE)
		return local_result(local);
	err = op_read(local->client, &local->op, local->afd, buf, cap, local->offset);
	return err ? err : -EAGAIN;
}

ssize_t local_write_some(struct local *local, const void *buf, size_t len)
{
	int err;

	if (local->op.state != OP_IDLE)
		return local_result(local);
	err = op_write(local->client, &local->op, local->afd, buf, len, local->offset);
	return err ? err : -EAGAIN;
}

int local_write(struct local *local, const void *buf, size_t len)
{
	const char *next = buf;
	ssize_t n;

	while (len) {
		n = local_write_some(local, next, len);
		if (n == -EAGAIN)
			n = client_wait(local->client, NEVER_NS);
		else if (n > 0) {
			next += n;
			len -= (size_t)n;
		}
		if (n < 0)
			return (int)n;
	}
	return 0;
}
