/* SPDX-License-Identifier: MIT */
/*
 * One attempt at one operation, by plain system calls. Any thread.
 */
#ifndef TAIO_TRANSFER_H
#define TAIO_TRANSFER_H

#include "taio.h"

#include <sys/uio.h>

static inline bool iocb_is_nowait(const struct iocb *iocb)
{
	return (iocb->aio_rw_flags & RWF_NOWAIT) != 0;
}

/*
 * Bytes (IO_CMD_POLL: the revents mask) or -errno; never -EINTR. A stream must be non-blocking: -EAGAIN says
 * that the operation would have to wait. A file blocks for the disk unless the iocb says RWF_NOWAIT.
 */
long transfer_now(const struct iocb *iocb, enum taio_class class);

/* A file's read as far as the page cache has it; -EAGAIN for a write, too, and where nobody can tell. */
long transfer_cached(const struct iocb *iocb);

/* False: it has a result whatever the stream does. RWF_NOWAIT, or a read of nothing. */
bool transfer_may_wait(const struct iocb *iocb);

/* Bytes that an operation which has moved some asked for; only then is its iovec array known to be good. */
size_t transfer_nbytes(const struct iocb *iocb);

/* Sets O_NONBLOCK on the open file description behind @fd unless it is set. 0 or -errno. */
int stream_unblock(int fd);

#endif
