/* SPDX-License-Identifier: MIT */
/* What engine poll does when a descriptor is attached: sets O_NONBLOCK, finds out about the file. */
#ifndef TAIO_ENGINE_POLL_FILES_H
#define TAIO_ENGINE_POLL_FILES_H

#include "engine_poll_ring.h"

/* As in struct engine. -EOPNOTSUPP: a signalfd. */
int poll_attach(struct taio *ring, int fd, enum taio_class class);

/*
 * Engine kmod's. @afd is a proxy of @fd, and knows RWF_NOWAIT if it is a stream. Clears O_NONBLOCK of a
 * stream, and tells in *unblocks whether it was set. 0, or -errno and nothing has changed but that.
 */
int poll_attach_proxy(struct poll_ring *r, int afd, int fd, enum taio_class class, bool *unblocks);
void poll_detach_proxy(struct poll_ring *r, int afd);

#endif
