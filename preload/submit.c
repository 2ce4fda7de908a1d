/* SPDX-License-Identifier: MIT */
/*
 * Has iocbs name proxies for the time of io_submit(2). It is the program's own iocb that is submitted, for
 * the event and io_cancel(2) name it by its address. So io_cancel(2), io_getevents(2) and io_destroy(2) are
 * left alone, and so is the ring.
 *
 * An iocb is the program's again when its event is there, which another thread may have reaped before
 * io_submit(2) returns here. So what was submitted is not written to afterwards unless there is but one
 * thread. It keeps the number of the proxy's place, by which it is understood if it is submitted again as it
 * is (proxy_meant()).
 */
#include "submit.h"

#include "memory.h"
#include "next.h"
#include "proxy.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

static bool wants_proxy(unsigned int opcode)
{
	return opcode == IOCB_CMD_PREAD || opcode == IOCB_CMD_PWRITE || opcode == IOCB_CMD_PREADV ||
	       opcode == IOCB_CMD_PWRITEV;
}

/* The last descriptor that was looked up: most batches have one. */
struct looked {
	int fd, proxy;
};

/* 1: sent to a proxy, 0: to the file itself, -1: io_submit(2) will not get beyond this one. */
static int redirect(struct iocb **at, struct looked *looked)
{
	struct iocb *iocb, copy;
	int fd, to;

	if (!memory_load(&iocb, at, sizeof(iocb)) || !memory_load(&copy, iocb, sizeof(copy)))
		return -1;
	fd = to = proxy_meant((int)copy.aio_fildes);
	if (wants_proxy(copy.aio_lio_opcode)) {
		if (looked->fd != fd)
			*looked = (struct looked){fd, proxy_of(fd)};
		if (looked->proxy >= 0)
			to = looked->proxy;
	}
	if (to != (int)copy.aio_fildes && !memory_store(&iocb->aio_fildes, (uint32_t)to))
		return -1;
	return to != fd;
}

static void restore(struct iocb **iocbs, long from, long to)
{
	struct iocb *iocb;
	uint32_t fd;

	for (long i = from; i < to; i++) {
		if (!memory_load(&iocb, &iocbs[i], sizeof(iocb)) ||
		    !memory_load(&fd, &iocb->aio_fildes, sizeof(fd)))
			return;
		if (proxy_target((int)fd) != (int)fd)
			memory_store(&iocb->aio_fildes, (uint32_t)proxy_target((int)fd));
	}
}

long submit(aio_context_t ctx, long niocbs, struct iocb **iocbs)
{
	struct looked looked = {-1, -1};
	long seen, proxied = 0, taken;
	int sent = 0;

	for (seen = 0; seen < niocbs && sent >= 0; seen++) {
		sent = redirect(&iocbs[seen], &looked);
		proxied += sent > 0;
	}
	taken = system_call(SYS_io_submit, ctx, niocbs, iocbs);
	/* What was not taken is the caller's alone. */
	restore(iocbs, __libc_single_threaded || taken < 0 ? 0 : taken, seen);
	proxy_count(proxied);
	return taken;
}
