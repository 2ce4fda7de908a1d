/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Workers: threads that the kernel makes of a submitter, with all of its state, and that block for its operations. For
 * policy worker; what is not told otherwise is for any context.
 */
#ifndef TAIO_WORKERS_H
#define TAIO_WORKERS_H

#include <linux/types.h>

struct taio_op;
struct taio_worker;
struct taio_workers;

/*
 * In the submitter: notes whose workers may carry out @op. With @one, reserves one of them for it, and makes one if
 * there is none; returns false if there is none to be had. May sleep.
 */
bool workers_reserve(struct taio_op *op, bool one);
/* The worker that is reserved for @op, if one is, is free for another. */
void workers_release(struct taio_op *op);
/*
 * Gives @op, which is WAITING, to the worker reserved for it, or to another of its submitter's that has nothing to do.
 * False: there is none.
 */
bool workers_hand(struct taio_op *op);
/* A cancel has found @op WAITING: takes it from the worker that it was given to. False: there was none. */
bool workers_take_back(struct taio_op *op);
/* proxy->lock held: a cancel has found @op RUNNING. Interrupts its worker. False: no worker runs it. */
bool workers_interrupt(struct taio_op *op);
/* @op has completed. Process context. */
void workers_completed(struct taio_op *op);

int workers_create(void);
/* Ends the workers and waits for them. A worker whose process is stopped ends when that goes on, or is killed. */
void workers_destroy(void);

#endif
