/* SPDX-License-Identifier: MIT */
/*
 * Engine kmod: a ring of engine poll on proxies of the module, one engine for each of the module's
 * policies.
 */
#ifndef TAIO_ENGINE_KMOD_H
#define TAIO_ENGINE_KMOD_H

#include "engine.h"

extern const struct engine engine_kmod_task;
extern const struct engine engine_kmod_park;
extern const struct engine engine_kmod_worker;
extern const struct engine engine_kmod_block;

/* The same without a first try inside io_submit. */
extern const struct engine engine_kmod_task_noinline;
extern const struct engine engine_kmod_park_noinline;
extern const struct engine engine_kmod_worker_noinline;
extern const struct engine engine_kmod_block_noinline;

#endif
