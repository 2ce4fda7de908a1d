/* SPDX-License-Identifier: MIT */
/*
 * What an engine is. Included by the files of aio/ only. ring.c and open.c call an engine, never the other
 * way round; ring.c checks arguments and keeps the classes of attached descriptors, so that an engine sees
 * valid operations only.
 */
#ifndef TAIO_ENGINE_H
#define TAIO_ENGINE_H

#include "taio.h"

#include <stdint.h>

struct engine {
	const char *name;	 /* "threads:park" */
	const char *summary;	 /* one line for `taio engines` */
	unsigned int attach_fds; /* taio_attach_fds() */

	/*
	 * Allocates the engine's ring, struct taio first in it, and fills its fd and entries. params->entries
	 * is not 0. On failure returns -errno and writes why.
	 */
	int (*open)(struct taio **ring, const struct taio_params *params, char *why);
	void (*close)(struct taio *ring);

	/*
	 * For an engine whose entries may be less than its max: raises them to @wanted or more, or as far as
	 * it can.
	 */
	void (*grow)(struct taio *ring, unsigned int wanted);

	/*
	 * Optional. @afd < ring->nfiles; class is decided, and in classes[fd] already. attach returns the
	 * descriptor to use or -errno.
	 */
	int (*attach)(struct taio *ring, int fd, enum taio_class class);
	void (*detach)(struct taio *ring, int afd);

	/* Takes as many as it can, in order, and returns how many, or -errno. Each was checked; ring.c counts
	 * them. */
	int (*submit)(struct taio *ring, long nr, struct iocb **iocbs);
	int (*cancel)(struct taio *ring, struct iocb *iocb);
	int (*reap)(struct taio *ring, long nr, struct io_event *events);
};

struct taio {
	const struct engine *engine; /* open.c */
	int fd;			     /* taio_fd(); the engine opens and closes it */
	unsigned int entries;	     /* operations that it has room for now; the engine */
	unsigned int max;	     /* and at most: params->entries; open.c */
	unsigned int inflight;	     /* ring.c: submitted and not handed out */
	uint8_t *classes; /* by descriptor: enum taio_class and enum attached, 0 = not attached; ring.c */
	unsigned int nfiles;
};

/* What else is known of an attached descriptor, above its class. */
enum attached {
	ATTACHED_CLASS = 3, /* mask */

	/*
	 * What a call answers at once need not be what poll(2) says is ready: read(2) of a pipe's write end,
	 * of a listening socket, of 4 bytes from an eventfd, of a FIFO that never had a writer. So an
	 * operation is tried before it waits. A connected socket is not like that.
	 */
	ATTACHED_TRY_FIRST = 4,
	ATTACHED_SOCKET = 8,	    /* with the former: until it has been seen to wait */
	ATTACHED_WAS_BLOCKING = 16, /* O_NONBLOCK is the engine's doing */
};

static inline enum taio_class file_class(const struct taio *ring, int afd)
{
	return ring->classes[afd] & ATTACHED_CLASS;
}

static inline bool file_tries_first(const struct taio *ring, int afd)
{
	return ring->classes[afd] & ATTACHED_TRY_FIRST;
}

/* An operation on @afd, tried first, has to wait. */
static inline void file_waits(struct taio *ring, int afd)
{
	if (ring->classes[afd] & ATTACHED_SOCKET)
		ring->classes[afd] &= (uint8_t) ~(ATTACHED_TRY_FIRST | ATTACHED_SOCKET);
}

static inline bool iocb_is_read(const struct iocb *iocb)
{
	return iocb->aio_lio_opcode == IO_CMD_PREAD || iocb->aio_lio_opcode == IO_CMD_PREADV;
}

static inline void event_fill(struct io_event *event, struct iocb *iocb, long res)
{
	*event = (struct io_event){.data = iocb->data, .obj = iocb, .res = (unsigned long)res};
}

#endif
