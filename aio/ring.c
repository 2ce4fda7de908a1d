/* SPDX-License-Identifier: MIT */
/*
 * The front of libtaio: finds and opens engines, keeps the table of attached descriptors, refuses what no
 * engine may see, and counts what is in flight. Every call comes from the thread that owns the ring.
 */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_ENTRIES 256
#define MAX_ENTRIES	(1u << 20)
#define PROBE_ENTRIES	8
#define PROBE_WAIT_MS	2000

const struct engine *const taio_engines[] = {
	&engine_kmod_task,
	&engine_poll,
	&engine_threads_park,
	&engine_threads_block,
	&engine_epoll,
	&engine_kmod_task_noinline,
	&engine_kmod_park,
	&engine_kmod_park_noinline,
	&engine_kmod_block,
	&engine_kmod_block_noinline,
	NULL,
};

/* "threads" means the first of its policies in the table. */
static bool engine_is(const struct engine *engine, const char *name)
{
	return !strcmp(engine->full_name, name) || (!strchr(name, ':') && !strcmp(engine->name, name));
}

static const struct engine *engine_find(const char *name)
{
	for (unsigned int i = 0; taio_engines[i]; i++)
		if (engine_is(taio_engines[i], name))
			return taio_engines[i];
	return NULL;
}

static void list_names(char *why, const char *wrong)
{
	int len = snprintf(why, TAIO_WHY_LEN, "no engine '%s'; there are: auto", wrong);

	for (unsigned int i = 0; taio_engines[i] && len < TAIO_WHY_LEN; i++)
		len += snprintf(why + len, (size_t)(TAIO_WHY_LEN - len), " %s", taio_engines[i]->full_name);
}

/* Outlives the ring, which may still hold the operation when the probe gives up. */
struct probe_op {
	struct iocb iocb;
	char got;
};

/* One byte through a pipe: read submitted first, so that it has to wait. */
static int probe_read(struct taio *ring, const int fds[2], struct probe_op *op, char *why)
{
	struct iocb *iocbs[] = {&op->iocb};
	struct io_event event;
	int afd, ret;

	afd = taio_attach(ring, fds[0], TAIO_CLASS_STREAM);
	if (afd < 0) {
		snprintf(why, TAIO_WHY_LEN, "cannot attach a pipe: %s", strerror(-afd));
		return afd;
	}
	io_prep_pread(&op->iocb, afd, &op->got, 1, 0);
	ret = taio_submit(ring, 1, iocbs);
	if (ret == 1 && write(fds[1], "t", 1) == 1)
		ret = taio_wait(ring, 1, &event, PROBE_WAIT_MS);
	if (ret == 1 && event.res == 1 && op->got == 't') {
		taio_detach(ring, afd);
		return 0;
	}
	if (ret > 0)
		ret = (long)event.res < 0 ? (int)event.res : -EIO;
	snprintf(why, TAIO_WHY_LEN, "a read of one byte did not come back: %s",
		 strerror(ret ? -ret : ETIMEDOUT));
	return ret ? ret : -ETIMEDOUT;
}

static int ring_open(struct taio **ring, const struct engine *engine, const struct taio_params *params,
		     char *why)
{
	struct taio_params p = *params;
	int ret;

	if (!p.entries)
		p.entries = DEFAULT_ENTRIES;
	if (p.entries > MAX_ENTRIES) {
		snprintf(why, TAIO_WHY_LEN, "%u entries are too many: at most %u", p.entries, MAX_ENTRIES);
		return -EINVAL;
	}
	ret = engine->open(ring, &p, why);
	if (ret)
		return ret;
	(*ring)->engine = engine;
	(*ring)->entries = p.entries;
	return 0;
}

static int engine_probe(const struct engine *engine, char *why)
{
	struct taio_params params = {.entries = PROBE_ENTRIES};
	struct probe_op op = {0};
	struct taio *ring;
	int fds[2], ret;

	ret = ring_open(&ring, engine, &params, why);
	if (ret)
		return ret;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		ret = -errno;
		snprintf(why, TAIO_WHY_LEN, "cannot make a pipe: %s", strerror(-ret));
		goto close_ring;
	}
	ret = probe_read(ring, fds, &op, why);
	taio_close(ring);
	close(fds[0]);
	close(fds[1]);
	return ret;
close_ring:
	taio_close(ring);
	return ret;
}

static int open_first(struct taio **ring, const struct taio_params *params, char *why)
{
	char passed[4 * TAIO_WHY_LEN] = "", reason[TAIO_WHY_LEN];
	int ret = -ENOSYS;

	for (unsigned int i = 0; taio_engines[i]; i++) {
		const struct engine *engine = taio_engines[i];
		size_t len = strlen(passed);

		ret = engine_probe(engine, reason);
		if (!ret)
			ret = ring_open(ring, engine, params, reason);
		if (!ret) {
			snprintf(why, TAIO_WHY_LEN, "%s: %s%.180s", engine->full_name,
				 i ? "the first that works here; " : "first choice, and it works here",
				 passed);
			return 0;
		}
		snprintf(passed + len, sizeof(passed) - len, "%s%s: %s", len ? "; " : "", engine->full_name,
			 reason);
	}
	snprintf(why, TAIO_WHY_LEN, "no engine works here: %.200s", passed);
	return ret;
}

int taio_open(struct taio **ring, const struct taio_params *params, char *why)
{
	const char *name = params->engine ? params->engine : "auto";
	const struct engine *engine;
	char unread[TAIO_WHY_LEN];

	if (!why)
		why = unread;
	if (!strcmp(name, "auto"))
		return open_first(ring, params, why);
	engine = engine_find(name);
	if (!engine) {
		list_names(why, name);
		return -EINVAL;
	}
	return ring_open(ring, engine, params, why);
}

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
	return ring->engine->full_name;
}

int taio_fd(const struct taio *ring)
{
	return ring->fd;
}

unsigned int taio_inflight(const struct taio *ring)
{
	return ring->inflight;
}

bool taio_probe(unsigned int i, struct taio_probe *probe)
{
	const struct engine *engine;

	if (i >= sizeof(taio_engines) / sizeof(taio_engines[0]) - 1)
		return false;
	engine = taio_engines[i];
	*probe = (struct taio_probe){.name = engine->full_name, .summary = engine->summary};
	probe->works = engine_probe(engine, probe->why) == 0;
	if (probe->works)
		probe->why[0] = '\0';
	return true;
}

static int files_reserve(struct taio *ring, int fd)
{
	unsigned int want = ring->nfiles ? ring->nfiles : 64;
	uint8_t *classes;

	if ((unsigned int)fd < ring->nfiles)
		return 0;
	while (want <= (unsigned int)fd)
		want *= 2;
	classes = realloc(ring->classes, want);
	if (!classes)
		return -ENOMEM;
	memset(classes + ring->nfiles, 0, want - ring->nfiles);
	ring->classes = classes;
	ring->nfiles = want;
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
	ret = files_reserve(ring, fd);
	if (ret)
		return ret;
	if (ring->classes[fd])
		return -EEXIST;
	afd = ring->engine->attach ? ring->engine->attach(ring, fd, class) : fd;
	if (afd < 0)
		return afd;
	ret = files_reserve(ring, afd);
	if (ret) {
		if (ring->engine->detach)
			ring->engine->detach(ring, afd);
		return ret;
	}
	ring->classes[afd] = (uint8_t) class;
	return afd;
}

void taio_detach(struct taio *ring, int afd)
{
	if (ring->engine->detach)
		ring->engine->detach(ring, afd);
	ring->classes[afd] = 0;
}

unsigned int taio_attach_fds(const struct taio *ring)
{
	return ring->engine->attach_fds;
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
		return iocb->aio_rw_flags || ring->classes[fd] != TAIO_CLASS_STREAM ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

int taio_submit(struct taio *ring, long nr, struct iocb **iocbs)
{
	unsigned int room = ring->entries - ring->inflight;
	long good;
	int ret = -EAGAIN;

	if (nr < 0)
		return -EINVAL;
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

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int taio_wait(struct taio *ring, long nr, struct io_event *events, int timeout_ms)
{
	int64_t until = timeout_ms > 0 ? now_ms() + timeout_ms : 0;
	struct pollfd pfd = {.fd = ring->fd, .events = POLLIN};

	for (;;) {
		int left = timeout_ms;
		int ret = taio_reap(ring, nr, events);

		if (ret || !timeout_ms)
			return ret;
		if (timeout_ms > 0) {
			int64_t ms = until - now_ms();

			if (ms <= 0)
				return 0;
			left = (int)ms;
		}
		if (poll(&pfd, 1, left) < 0)
			return -errno;
	}
}
