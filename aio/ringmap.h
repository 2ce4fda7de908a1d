/* SPDX-License-Identifier: MIT */
/*
 * Reaps the completion ring that io_setup(2) maps into the process: without a system call where the layout
 * is the known one, by io_getevents(2) otherwise. One reaper.
 */
#ifndef TAIO_RINGMAP_H
#define TAIO_RINGMAP_H

#include <libaio.h>
#include <stdbool.h>

/* The mapping is read and its magic checked only if @may_map; Valgrind does not see the kernel write to it.
 */
bool ringmap_usable(io_context_t ctx, bool may_map);

/* Takes up to @nr events from the mapped ring. */
int ringmap_take(io_context_t ctx, int nr, struct io_event *events);

/* The same by system call. */
int ringmap_take_syscall(io_context_t ctx, int nr, struct io_event *events);

#endif
