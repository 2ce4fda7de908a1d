/* SPDX-License-Identifier: GPL-2.0 */
/* Helpers: threads that block for operations. For policies; what is not told otherwise is for any context. */
#ifndef TAIO_HELPERS_H
#define TAIO_HELPERS_H

#include "op_state.h"

struct taio_op;
struct taio_queue;

/* A file's operation, ARMING: it gets a helper as soon as its user has room. */
void helpers_start(struct taio_op *op);

/* The same for one that is WAITING, and that nobody else has. proxy->lock held. */
void helpers_again(struct taio_op *op);

/*
 * proxy->lock held: has @queue run, which is busy, by giving @op, its first, a helper. If its user has no room, a work
 * item tries it whenever the file wakes, where that can be done without waiting and without the user's memory;
 * elsewhere it waits until there is room.
 */
void helpers_run(struct taio_queue *queue, struct taio_op *op);

/* proxy->lock held: a policy's cancelled(), whoever runs the operation. */
void helpers_cancelled(struct taio_op *op, enum op_state was);

/* The module's parameters user_max and helpers_max. */
void helpers_caps(unsigned int *user, unsigned int *all);
/* Likewise idle_ms, racy on purpose: it may change at any time. */
extern unsigned int helpers_idle_ms;

/* Ends the helpers and waits for them. There is nothing to create: the pool is there from the start. */
void helpers_destroy(void);

#endif
