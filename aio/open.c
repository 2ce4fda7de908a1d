/* SPDX-License-Identifier: MIT */
/*
 * Owns the table of engines: finds one by name, or the first that works here, and opens its ring. Called by
 * the thread that will own the ring. Invariant: an engine works here if it has just carried out an operation;
 * versions and features are not consulted.
 */
#include "taio.h"

#include "engine_epoll.h"
#include "engine_kmod.h"
#include "engine_poll.h"
#include "engine_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_ENTRIES 256
#define MAX_ENTRIES	(1u << 20)
#define PROBE_ENTRIES	8
#define PROBE_WAIT_MS	2000

/*
 * Every engine, in the order in which `auto` tries them and `taio engines` lists them. Behind epoll, which
 * works everywhere, are those that are chosen by name only. cmake/engines.cmake names them for the tests.
 */
// clang-format off
static const struct engine *const engines[] = {
	&engine_kmod_task,
	&engine_poll,
	&engine_threads_park,
	&engine_threads_block,
	&engine_epoll,
	&engine_kmod_task_noinline,
	&engine_kmod_park,
	&engine_kmod_park_noinline,
	&engine_kmod_worker,
	&engine_kmod_worker_noinline,
	&engine_kmod_block,
	&engine_kmod_block_noinline,
};
// clang-format on

#define NR_ENGINES (sizeof(engines) / sizeof(engines[0]))

/* "threads" matches the first of its policies in the table. */
static bool engine_is(const struct engine *engine, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(engine->name, name, len) && (!engine->name[len] || engine->name[len] == ':');
}

static const struct engine *engine_find(const char *name)
{
	for (unsigned int i = 0; i < NR_ENGINES; i++)
		if (engine_is(engines[i], name))
			return engines[i];
	return NULL;
}

static void list_names(char *why, const char *wrong)
{
	int len = snprintf(why, TAIO_WHY_LEN, "unknown engine '%s'; the engines are: auto", wrong);

	for (unsigned int i = 0; i < NR_ENGINES && len < TAIO_WHY_LEN; i++)
		len += snprintf(why + len, (size_t)(TAIO_WHY_LEN - len), " %s", engines[i]->name);
}

/* Must outlive the ring, which may still hold the operation when the probe gives up. */
struct probe_op {
	struct iocb iocb;
	char got;
};

/* One byte through a pipe. The read is submitted first, so that it has to wait. */
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
	snprintf(why, TAIO_WHY_LEN, "a test read of one byte failed: %s", strerror(ret ? -ret : ETIMEDOUT));
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
		snprintf(why, TAIO_WHY_LEN, "%u entries exceed the maximum of %u", p.entries, MAX_ENTRIES);
		return -EINVAL;
	}
	ret = engine->open(ring, &p, why);
	if (ret)
		return ret;
	(*ring)->engine = engine;
	(*ring)->max = p.entries;
	return 0;
}

/* All @n or none. */
static int rings_open(struct taio **rings, unsigned int n, const struct engine *engine,
		      const struct taio_params *params, char *why)
{
	char reason[TAIO_WHY_LEN];
	unsigned int open;
	int ret = 0;

	for (open = 0; open < n && !ret; open++)
		ret = ring_open(&rings[open], engine, params, reason);
	if (!ret)
		return 0;
	if (open > 1)
		snprintf(why, TAIO_WHY_LEN, "ring %u of %u: %.200s", open, n, reason);
	else
		snprintf(why, TAIO_WHY_LEN, "%s", reason);
	for (open--; open--;)
		taio_close(rings[open]);
	return ret;
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
		snprintf(why, TAIO_WHY_LEN, "cannot create a pipe: %s", strerror(-ret));
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

static int open_first(struct taio **rings, unsigned int n, const struct taio_params *params, char *why)
{
	char passed[4 * TAIO_WHY_LEN] = "", reason[TAIO_WHY_LEN];
	int ret = -ENOSYS;

	for (unsigned int i = 0; i < NR_ENGINES; i++) {
		const struct engine *engine = engines[i];
		size_t len = strlen(passed);

		ret = engine_probe(engine, reason);
		if (!ret)
			ret = rings_open(rings, n, engine, params, reason);
		if (!ret) {
			snprintf(why, TAIO_WHY_LEN, "%s: %s%.200s", engine->name,
				 i ? "the first that works here; " : "first choice, and it works here",
				 passed);
			return 0;
		}
		snprintf(passed + len, sizeof(passed) - len, "%s%s: %s", len ? "; " : "", engine->name,
			 reason);
	}
	snprintf(why, TAIO_WHY_LEN, "no engine works here: %.200s", passed);
	return ret;
}

int taio_open_rings(struct taio **rings, unsigned int n, const struct taio_params *params, char *why)
{
	const char *name = params->engine ? params->engine : "auto";
	const struct engine *engine;
	char unread[TAIO_WHY_LEN];

	if (!why)
		why = unread;
	if (!strcmp(name, "auto"))
		return open_first(rings, n, params, why);
	engine = engine_find(name);
	if (!engine) {
		list_names(why, name);
		return -EINVAL;
	}
	return rings_open(rings, n, engine, params, why);
}

int taio_open(struct taio **ring, const struct taio_params *params, char *why)
{
	return taio_open_rings(ring, 1, params, why);
}

bool taio_probe(unsigned int i, struct taio_probe *probe)
{
	const struct engine *engine;

	if (i >= NR_ENGINES)
		return false;
	engine = engines[i];
	*probe = (struct taio_probe){.name = engine->name, .summary = engine->summary};
	probe->works = engine_probe(engine, probe->why) == 0;
	if (probe->works)
		probe->why[0] = '\0';
	return true;
}
