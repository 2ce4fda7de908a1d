/* SPDX-License-Identifier: MIT */
/*
 * Owns what a ring of engine poll knows about each descriptor, and O_NONBLOCK of attached streams. Called by
 * engines poll and kmod on the ring's thread. Invariant: FILE_PROXY is set as long as a proxy is attached,
 * and no longer.
 */
#include "engine_poll_files.h"

#include "fd_table.h"
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int flags_reserve(struct poll_ring *r, int fd)
{
	uint8_t *flags = fd_table_grow(r->file_flags, &r->nfile_flags, sizeof(*flags), fd);

	if (!flags)
		return -ENOMEM;
	r->file_flags = flags;
	return 0;
}

/*
 * The kernel's aio asks a file that has woken it once more from a worker of the kernel, and a signalfd then
 * looks at the signals of that worker: no event would come.
 */
static bool is_signalfd(const struct taio *ring, int fd)
{
	static const char is[] = "anon_inode:[signalfd]";
	char path[32], target[sizeof(is)];

	if (!file_tries_first(ring, fd)) /* a socket */
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target)) == sizeof(is) - 1 &&
	       !memcmp(target, is, sizeof(is) - 1);
}

int poll_attach(struct taio *ring, int fd, enum taio_class class)
{
	struct poll_ring *r = (struct poll_ring *)ring;
	int flags, ret;

	if (class == TAIO_CLASS_STREAM && is_signalfd(ring, fd))
		return -EOPNOTSUPP;
	if (class == TAIO_CLASS_STREAM)
		return stream_unblock(ring, fd) ?: fd;
	ret = flags_reserve(r, fd);
	if (ret)
		return ret;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	r->file_flags[fd] = flags & O_DIRECT ? FILE_DIRECT : 0;
	return fd;
}

int poll_attach_proxy(struct poll_ring *r, int afd, int fd, enum taio_class class, bool *unblocks)
{
	int flags = fcntl(fd, F_GETFL), ret;

	if (flags < 0)
		return -errno;
	ret = flags_reserve(r, afd);
	if (ret)
		return ret;
	/* The proxy honours O_NONBLOCK: an operation that has to wait would be -EAGAIN. */
	*unblocks = class == TAIO_CLASS_STREAM && flags & O_NONBLOCK;
	if (*unblocks && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	r->file_flags[afd] = FILE_PROXY;
	/* O_DIRECT bypasses the cache, so there is nothing to try. */
	if (class == TAIO_CLASS_FILE && flags & O_DIRECT)
		r->file_flags[afd] |= FILE_NO_NOWAIT;
	return 0;
}

void poll_detach_proxy(struct poll_ring *r, int afd)
{
	r->file_flags[afd] = 0;
}
