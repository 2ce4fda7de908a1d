/* SPDX-License-Identifier: MIT */
/*
 * Reaps the completion ring that io_setup(2) maps into the process: without a system call if the layout is
 * known, by io_getevents(2) otherwise. One thread reaps.
 */
#ifndef TAIO_RINGMAP_H
#define TAIO_RINGMAP_H

#include <libaio.h>
#include <stdbool.h>

/* Whether the mapped ring can be read. False unless @may_map, and under Valgrind, which does not see the
 * kernel write. */
bool ringmap_usable(io_context_t ctx, bool may_map);

/* Takes up to @nr events from the mapped ring. */
int ringmap_take(io_context_t ctx, int nr, struct io_event *events);

/* The same by system call. */
int ringmap_take_syscall(io_context_t ctx, int nr, struct io_event *events);

#endif
