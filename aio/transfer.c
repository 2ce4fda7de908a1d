/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: turns an iocb into the system call of its opcode and class. Called by the user-space engines
 * on the ring's thread and on helpers. Invariant: an attempt on a stream never sleeps.
 */
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static long stream_attempt(const struct iocb *iocb)
{
	switch (iocb->aio_lio_opcode) {
	case IO_CMD_PREAD:
		return read(iocb->aio_fildes, iocb->u.c.buf, iocb->u.c.nbytes);
	case IO_CMD_PWRITE:
		return write(iocb->aio_fildes, iocb->u.c.buf, iocb->u.c.nbytes);
	case IO_CMD_PREADV:
		return readv(iocb->aio_fildes, iocb->u.v.vec, iocb->u.v.nr);
	case IO_CMD_PWRITEV:
		return writev(iocb->aio_fildes, iocb->u.v.vec, iocb->u.v.nr);
	}
	errno = EINVAL;
	return -1;
}

static long poll_attempt(const struct iocb *iocb)
{
	struct pollfd pfd = {.fd = iocb->aio_fildes, .events = iocb->u.poll.events};
	int nready = poll(&pfd, 1, 0);

	if (nready > 0)
		return pfd.revents;
	if (nready == 0)
		errno = EAGAIN;
	return -1;
}

static long file_attempt(const struct iocb *iocb, int rw_flags)
{
	const struct iovec one = {.iov_base = iocb->u.c.buf, .iov_len = iocb->u.c.nbytes};
	long long offset = iocb->u.c.offset;

	/* preadv2(2) would take -1 for the file's own position. */
	if (offset < 0) {
		errno = EINVAL;
		return -1;
	}
	switch (iocb->aio_lio_opcode) {
	case IO_CMD_PREAD:
		return preadv2(iocb->aio_fildes, &one, 1, offset, rw_flags);
	case IO_CMD_PWRITE:
		return pwritev2(iocb->aio_fildes, &one, 1, offset, rw_flags);
	case IO_CMD_PREADV:
		return preadv2(iocb->aio_fildes, iocb->u.v.vec, iocb->u.v.nr, offset, rw_flags);
	case IO_CMD_PWRITEV:
		return pwritev2(iocb->aio_fildes, iocb->u.v.vec, iocb->u.v.nr, offset, rw_flags);
	}
	errno = EINVAL;
	return -1;
}

long transfer_now(const struct iocb *iocb, enum taio_class class)
{
	long res;

	do {
		if (iocb->aio_lio_opcode == IO_CMD_POLL)
			res = poll_attempt(iocb);
		else if (class == TAIO_CLASS_FILE)
			res = file_attempt(iocb, iocb->aio_rw_flags);
		else
			res = stream_attempt(iocb);
	} while (res < 0 && errno == EINTR);
	return res < 0 ? -errno : res;
}

long transfer_cached(const struct iocb *iocb)
{
	long res;

	if (iocb->aio_lio_opcode != IO_CMD_PREAD && iocb->aio_lio_opcode != IO_CMD_PREADV)
		return -EAGAIN;
	res = file_attempt(iocb, iocb->aio_rw_flags | RWF_NOWAIT);
	if (res >= 0)
		return res;
	/* A file system without RWF_NOWAIT, or a signal: neither says what the cache holds. */
	return errno == EOPNOTSUPP || errno == EINTR ? -EAGAIN : -errno;
}

size_t transfer_nbytes(const struct iocb *iocb)
{
	size_t nbytes = 0;

	if (iocb->aio_lio_opcode != IO_CMD_PREADV && iocb->aio_lio_opcode != IO_CMD_PWRITEV)
		return iocb->u.c.nbytes;
	for (size_t i = 0; i < iocb->u.v.nr; i++)
		nbytes += iocb->u.v.vec[i].iov_len;
	return nbytes;
}

bool transfer_may_wait(const struct iocb *iocb)
{
	if (iocb_is_nowait(iocb))
		return false;
	switch (iocb->aio_lio_opcode) {
	case IO_CMD_PREAD:
		return iocb->u.c.nbytes > 0;
	case IO_CMD_PREADV:
		/* Only the kernel may read the array: it may be at a bad address. */
		return iocb->u.v.nr > 0;
	}
	return true;
}

bool iocb_is_empty_write(const struct iocb *iocb)
{
	switch (iocb->aio_lio_opcode) {
	case IO_CMD_PWRITE:
		return iocb->u.c.nbytes == 0;
	case IO_CMD_PWRITEV:
		return iocb->u.v.nr == 0;
	}
	return false;
}

int stream_unblock(struct taio *ring, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (flags & O_NONBLOCK)
		return 0;
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	ring->classes[fd] |= ATTACHED_WAS_BLOCKING;
	return 0;
}

void stream_block(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}
