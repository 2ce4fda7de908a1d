/* SPDX-License-Identifier: MIT */
/*
 * The parts of engine poll that engine kmod is built upon: its ring, and the way of an operation whose file
 * has no proxy. Ring's thread only.
 */
#ifndef TAIO_ENGINE_POLL_H
#define TAIO_ENGINE_POLL_H

#include "poll_ring.h"

/* @r is zero; why as in taio_open(). */
int poll_init(struct poll_ring *r, const struct taio_params *params, char *why);

/* Returns when the kernel has let go of every iocb, those that were submitted as they are included. */
void poll_fini(struct poll_ring *r);

/* Begins one operation, which may go to the kernel with poll_flush() only. */
void poll_start(struct poll_ring *r, struct iocb *iocb);
void poll_flush(struct poll_ring *r);

/*
 * As in struct engine. An iocb that was given to the kernel as it is, marked by wake_by_eventfd(), is handed
 * out by reap with its mark taken off; cancel knows nothing of it.
 */
int poll_attach(struct taio *ring, int fd, enum taio_class class);
int poll_cancel(struct taio *ring, struct iocb *iocb);
int poll_reap(struct taio *ring, long nr, struct io_event *events);

#endif
