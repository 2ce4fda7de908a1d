/* SPDX-License-Identifier: MIT */
/* Policy block: a helper thread takes one operation and blocks for it. */
#ifndef TAIO_ENGINE_THREADS_BLOCK_H
#define TAIO_ENGINE_THREADS_BLOCK_H

#include "engine_threads_op.h"

/* Once in a process, before the first operation: 0 or -errno, and why. */
int block_init(char *why);

/* Job: one operation from the beginning to the end, waiting included. */
void block_run(struct job *job);

/* After OP_WAITING -> OP_CANCELLED of an operation that a helper blocks for. */
void block_interrupt(struct threads_op *op);

#endif
