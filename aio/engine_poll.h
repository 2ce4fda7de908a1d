/* SPDX-License-Identifier: MIT */
/*
 * Engine poll, and the parts of it that engine kmod is built on. An operation on a proxy is treated like any
 * other except for the wait: instead of a POLL, to be followed by another try, the operation itself is
 * submitted and waits in the kernel until it is done. Ring's thread only.
 */
#ifndef TAIO_ENGINE_POLL_H
#define TAIO_ENGINE_POLL_H

#include "engine_poll_ring.h"

extern const struct engine engine_poll;

/* @r is zero; why as in taio_open(). Engine kmod sets r->waits_only afterwards. */
int poll_init(struct poll_ring *r, const struct taio_params *params, char *why);

/* Returns when the kernel has let go of every iocb. */
void poll_fini(struct poll_ring *r);

/* As in struct engine. */
int poll_submit(struct taio *ring, long nr, struct iocb **iocbs);
int poll_cancel(struct taio *ring, struct iocb *iocb);
int poll_reap(struct taio *ring, long nr, struct io_event *events);

#endif
