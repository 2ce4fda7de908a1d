/* SPDX-License-Identifier: MIT */
/* Engine epoll: readiness, then plain read and write on the ring's thread. */
#ifndef TAIO_ENGINE_EPOLL_H
#define TAIO_ENGINE_EPOLL_H

#include "engine.h"

extern const struct engine engine_epoll;

#endif
