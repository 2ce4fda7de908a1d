/* SPDX-License-Identifier: MIT */
/*
 * A program over plain libaio that knows nothing of taio: what its cases share. Each case holds with the
 * library and without it, but for those that say which.
 */
#ifndef TAIO_PRELOAD_PROGRAM_H
#define TAIO_PRELOAD_PROGRAM_H

#include "tests/case/process.h"
#include "tests/case/runner.h"

#include <libaio.h>

/* Is the library there? */
bool is_preloaded(void);

/*
 * A case, in a child of the runner's process for it: the library keeps descriptors, which the runner would
 * take for leaks.
 */
#define PROGRAM_CASE(name)                                                                                   \
	static void name##_body(void);                                                                       \
	static void name##_child(void *arg)                                                                  \
	{                                                                                                    \
		name##_body();                                                                               \
	}                                                                                                    \
	TEST_CASE(name, ON(NONE))                                                                            \
	{                                                                                                    \
		program_run(name##_child);                                                                   \
	}                                                                                                    \
	static void name##_body(void)

void program_run(void (*run)(void *arg));

/* What submits: libaio's function, or the system call by its number, as nginx does. */
typedef int submit_fn(io_context_t ctx, long niocbs, struct iocb **iocbs);

int submit_by_number(io_context_t ctx, long niocbs, struct iocb **iocbs);

extern submit_fn *const submits[2];

io_context_t ring_make(int nevents);

/* Submits the one, or fails the case. */
void submit_one(io_context_t ctx, struct iocb *iocb);

/* The only event, which comes in time and is @iocb's; returns its result. */
long event_of(io_context_t ctx, const struct iocb *iocb);

/* No event is there. */
void no_event(io_context_t ctx);

/* A read of @fd that waits, until @text is written to @peer: its event has it. */
void read_works(io_context_t ctx, int fd, int peer, const char *text);

/* The far end sees the end of the stream: nothing holds the near one any more. */
void peer_sees_end(int peer);

/* The kernel's close(2), past whatever was preloaded. */
void close_unseen(int fd);

#endif
