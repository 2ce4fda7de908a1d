/* SPDX-License-Identifier: MIT */
/*
 * Owns what every ring has: the classes of the attached descriptors and the count of what is in flight.
 * Refuses what no engine may see. Called by the ring's thread. Invariant: an engine is given valid operations
 * on attached descriptors only, and never more than it has entries.
 */
#include "taio.h"

#include "engine.h"
#include "fd_table.h"
#include "transfer.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

void taio_close(struct taio *ring)
{
	uint8_t *classes;

	if (!ring)
		return;
	classes = ring->classes;
	ring->engine->close(ring);
	free(classes);
}

const char *taio_name(const struct taio *ring)
{
	return ring->engine->name;
}

int taio_fd(const struct taio *ring)
{
	return ring->fd;
}

unsigned int taio_inflight(const struct taio *ring)
{
	return ring->inflight;
}

static int classes_reserve(struct taio *ring, int fd)
{
	uint8_t *classes = fd_table_grow(ring->classes, &ring->nfiles, sizeof(*classes), fd);

	if (!classes)
		return -ENOMEM;
	ring->classes = classes;
	return 0;
}

static int class_ask(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? TAIO_CLASS_FILE : TAIO_CLASS_STREAM;
}

/* One system call for a connected socket, by far the most frequent. */
static uint8_t stream_flags(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	if (getpeername(fd, (struct sockaddr *)&addr, &len) == 0)
		return 0;
	return errno == ENOTSOCK ? ATTACHED_TRY_FIRST : ATTACHED_TRY_FIRST | ATTACHED_SOCKET;
}

static void let_go(struct taio *ring, int fd, int afd)
{
	if (ring->engine->detach)
		ring->engine->detach(ring, afd);
	if (ring->classes[fd] & ATTACHED_WAS_BLOCKING)
		stream_block(fd);
	ring->classes[fd] = 0;
}

int taio_attach(struct taio *ring, int fd, enum taio_class class)
{
	int afd, ret;

	if (fd < 0)
		return -EBADF;
	if (class == TAIO_CLASS_ASK) {
		ret = class_ask(fd);
		if (ret < 0)
			return ret;
		class = (enum taio_class)ret;
	}
	ret = classes_reserve(ring, fd);
	if (ret)
		return ret;
	if (ring->classes[fd])
		return -EEXIST;
	ring->classes[fd] = (uint8_t) class;
	if (class == TAIO_CLASS_STREAM)
		ring->classes[fd] |= stream_flags(fd);
	afd = ring->engine->attach ? ring->engine->attach(ring, fd, class) : fd;
	if (afd < 0) {
		if (ring->classes[fd] & ATTACHED_WAS_BLOCKING)
			stream_block(fd);
		ring->classes[fd] = 0;
		return afd;
	}
	if (afd == fd)
		return afd;
	ret = classes_reserve(ring, afd);
	if (ret) {
		let_go(ring, fd, afd);
		return ret;
	}
	ring->classes[afd] = ring->classes[fd];
	ring->classes[fd] = 0;
	return afd;
}

void taio_detach(struct taio *ring, int afd)
{
	let_go(ring, afd, afd);
}

unsigned int taio_attach_fds(const struct taio *ring)
{
	return ring->engine->attach_fds;
}

unsigned int taio_capacity(const struct taio *ring)
{
	return ring->entries;
}

bool taio_takes_slots(const struct taio *ring)
{
	return ring->engine->grow;
}

static unsigned int clip(const struct taio *ring, unsigned int nr)
{
	return nr < ring->max ? nr : ring->max;
}

bool taio_has_room(const struct taio *ring, unsigned int nr)
{
	return clip(ring, nr) <= ring->entries;
}

int taio_reserve(struct taio *ring, unsigned int nr)
{
	if (!taio_has_room(ring, nr))
		ring->engine->grow(ring, clip(ring, nr));
	return taio_has_room(ring, nr) ? 0 : -EAGAIN;
}

static int iocb_check(const struct taio *ring, const struct iocb *iocb)
{
	int fd = iocb->aio_fildes;

	if (fd < 0 || (unsigned int)fd >= ring->nfiles || !ring->classes[fd])
		return -EBADF;
	if (iocb->u.c.flags) /* in the same place for every opcode */
		return -EINVAL;
	switch (iocb->aio_lio_opcode) {
	case IO_CMD_PREAD:
	case IO_CMD_PWRITE:
	case IO_CMD_PREADV:
	case IO_CMD_PWRITEV:
		return iocb->aio_rw_flags & ~RWF_NOWAIT ? -EINVAL : 0;
	case IO_CMD_POLL:
		return iocb->aio_rw_flags || file_class(ring, fd) != TAIO_CLASS_STREAM ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

int taio_submit(struct taio *ring, long nr, struct iocb **iocbs)
{
	unsigned int room;
	long good;
	int ret = -EAGAIN;

	if (nr < 0)
		return -EINVAL;
	if (nr > (long)(ring->entries - ring->inflight))
		taio_reserve(ring, nr < (long)ring->max ? ring->inflight + (unsigned int)nr : ring->max);
	room = ring->entries - ring->inflight;
	for (good = 0; good < nr && good < (long)room; good++) {
		ret = iocb_check(ring, iocbs[good]);
		if (ret)
			break;
	}
	if (!good)
		return nr ? ret : 0;
	ret = ring->engine->submit(ring, good, iocbs);
	if (ret > 0)
		ring->inflight += (unsigned int)ret;
	return ret;
}

int taio_cancel(struct taio *ring, struct iocb *iocb)
{
	return ring->engine->cancel(ring, iocb);
}

int taio_reap(struct taio *ring, long nr, struct io_event *events)
{
	int ret = ring->engine->reap(ring, nr, events);

	if (ret > 0)
		ring->inflight -= (unsigned int)ret;
	return ret;
}

int taio_wait(struct taio *ring, long nr, struct io_event *events, int timeout_ms)
{
	int64_t until = timeout_ms > 0 ? (int64_t)clock_ms() + timeout_ms : 0;
	struct pollfd pfd = {.fd = ring->fd, .events = POLLIN};

	for (;;) {
		int left = timeout_ms;
		int ret = taio_reap(ring, nr, events);

		if (ret || !timeout_ms)
			return ret;
		if (timeout_ms > 0) {
			int64_t ms = until - (int64_t)clock_ms();

			if (ms <= 0)
				return 0;
			left = (int)ms;
		}
		if (poll(&pfd, 1, left) < 0)
			return -errno;
	}
}
