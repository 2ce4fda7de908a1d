/* SPDX-License-Identifier: MIT */
/*
 * One attempt at one operation, by plain system calls. Any thread.
 */
#ifndef TAIO_TRANSFER_H
#define TAIO_TRANSFER_H

#include "engine.h"

#include <sys/uio.h>

static inline bool iocb_is_nowait(const struct iocb *iocb)
{
	return (iocb->aio_rw_flags & RWF_NOWAIT) != 0;
}

/*
 * Bytes (IO_CMD_POLL: the revents mask) or -errno; never -EINTR. A stream must be non-blocking: -EAGAIN means
 * that the operation would have to wait. A file blocks for the disk unless the iocb says RWF_NOWAIT.
 */
long transfer_now(const struct iocb *iocb, enum taio_class class);

/* Reads what the page cache has of a file. -EAGAIN if it has nothing or cannot say, and for a write. */
long transfer_cached(const struct iocb *iocb);

/* False: it has a result whatever the stream does (RWF_NOWAIT, or a read of no bytes). */
bool transfer_may_wait(const struct iocb *iocb);

/* A stream that is full takes one all the same; a socket of datagrams does not: it is one. */
bool iocb_is_empty_write(const struct iocb *iocb);

/* The bytes that @iocb asks for. It must have moved some: only then is its iovec array known to be valid. */
size_t transfer_nbytes(const struct iocb *iocb);

/* Sets O_NONBLOCK on the open file description behind @fd, which is being attached. 0 or -errno. */
int stream_unblock(struct taio *ring, int fd);
/* Clears it again. */
void stream_block(int fd);

#endif
