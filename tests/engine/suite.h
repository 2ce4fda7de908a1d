/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite of aio/taio.h: what a case is and what it may use.
 *
 * A case is a TEST_CASE() in one of the *_cases.c. main.c chooses the engines; tests/case runs the cases and
 * has everything that needs no ring.
 */
#ifndef TAIO_TESTS_SUITE_H
#define TAIO_TESTS_SUITE_H

#include "aio/taio.h"
#include "tests/case/check.h"
#include "tests/case/link.h"
#include "tests/case/op.h"
#include "tests/case/pattern.h"
#include "tests/case/process.h"
#include "tests/case/runner.h"

#include <stdatomic.h>
#include <stdint.h>

enum {
	LINK_SOCKETS = LINK_TCP | LINK_UNIX,
	LINK_STREAMS = LINK_SOCKETS | LINK_PIPE,
	/* Except where a terminal has rules of its own: its end, -EFAULT. */
	LINK_WAITING = LINK_STREAMS | LINK_TTY,
};

enum case_flags {
	CASE_VARIANTS = 1 << 0, /* also asleep on taio_fd(), and reaping by system call */
	CASE_RACE = 1 << 1,	/* may take long */
	CASE_ONCE = 1 << 2,	/* not of one engine: runs as engine "auto" */
};

#define SCENE_LINKS 128

/* What a case works with; one ring and its links, used by one thread. */
struct scene {
	const char *engine;
	enum link_kind kind;
	unsigned int flags; /* of struct taio_params */
	unsigned int slots; /* likewise */
	bool by_fd;	    /* sleep in poll(2) on taio_fd() as an event loop does; else in taio_wait() */
	long rounds;	    /* of a race */
	struct taio *ring;
	struct link *links[SCENE_LINKS];
	unsigned int nlinks;
};

/* scene.c: the ring. entries and helpers_max as in struct taio_params. */
void scene_ring(struct scene *s, unsigned int entries, unsigned int helpers_max);
void scene_close_ring(struct scene *s);
/* Nothing may be in flight; then closes everything. The runner calls it after each case. */
void scene_finish(struct scene *s);

/* If there is no ring yet, the link is made but not attached. */
struct link *scene_link(struct scene *s);
/* A ring with the engine's own number of helpers, and a link. */
struct link *scene_open(struct scene *s, unsigned int entries);
void link_attach(struct scene *s, struct link *link);
void link_detach(struct scene *s, struct link *link);

/* Replaces the link by a new one. */
void link_renew(struct scene *s, struct link *link);

/* scene.c: submits operations and takes their events. */
int op_try(struct scene *s, struct op *op);
void op_start_(struct scene *s, struct op *op);
/* 0 or -ENOENT, or the case fails. */
int op_cancel_(struct scene *s, struct op *op);

/* Hands out events, waiting at most @timeout_ms for the first one; returns how many. */
int collect(struct scene *s, int timeout_ms);
long await_(struct scene *s, struct op *op);
void await_all_(struct scene *s, struct op *ops, unsigned int nops);
/* No event comes within a short while. */
void stay_quiet_(struct scene *s);
/* Writes to the link's near end through the ring until it would have to wait; returns how many bytes. */
size_t fill_(struct scene *s, struct link *link, uint64_t offset, uint64_t seed, int settle_ms);

#define op_start(s, op)		(HERE(), op_start_(s, op))
#define op_cancel(s, op)	(HERE(), op_cancel_(s, op))
#define await(s, op)		(HERE(), await_(s, op))
#define await_all(s, ops, nops) (HERE(), await_all_(s, ops, nops))
#define stay_quiet(s)		(HERE(), stay_quiet_(s))
/* Until it stays full: TCP has room again when a delayed acknowledgement comes, a terminal when the kernel
 * has passed on what was written. */
#define fill(s, link, offset, seed)                                                                          \
	(HERE(), fill_(s, link, offset, seed, (s)->kind == LINK_TCP ? 300 : (s)->kind == LINK_TTY ? 20 : 1))

#endif
