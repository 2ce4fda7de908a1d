/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Policy park: the operation waits on the file's wait queue; then a work item transfers. Policies task and block use
 * its parts.
 */
#ifndef TAIO_POLICY_PARK_H
#define TAIO_POLICY_PARK_H

#include "policy.h"

extern const struct taio_policy taio_policy_park;

int park_queue_create(void);
void park_queue_destroy(void);

/* A policy's start: puts the operation on the wait queue. Its policy's woken() or ready() gives it to a runner. */
void park_start(struct taio_op *op);

/* A runner that may sleep, RUNNING or CANCELLING: transfers and completes, or parks again. */
void park_run(struct taio_op *op);

/* Gives the operation to a work item, which runs it, or completes it if it is CANCELLED. Any context. */
void park_give_to_work(struct taio_op *op);

#endif
