/* SPDX-License-Identifier: MIT */
/* Engine threads: helper threads in user space carry operations out. */
#ifndef TAIO_ENGINE_THREADS_H
#define TAIO_ENGINE_THREADS_H

#include "engine.h"

extern const struct engine engine_threads_park;
extern const struct engine engine_threads_block;

#endif
