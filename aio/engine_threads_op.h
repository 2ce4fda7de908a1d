/* SPDX-License-Identifier: MIT */
/*
 * An operation of engine threads: its state word and how it ends. engine_threads.c decides who carries it
 * out, engine_threads_block.c and engine_threads_park.c do it. Its life, by both policies:
 *
 *            submit, for a helper           submit, parked
 *                    |                            |
 *                    v        helper              v
 *   .------------ QUEUED ------------.   .---- WAITING ----------------.
 *   | cancel                         |   |        ^                    | cancel
 *   v                                v   v ready  |                    v
 * WITHDRAWN                         MOVING -------'                CANCELLED
 *   |                                | | |  -EAGAIN                    |
 *   |                         cancel | | '------------.                |
 *   |                                v |  transferred |                |
 *   |                    MOVING_CANCEL |              |                |
 *   |                                | |              |                |
 *   '--------------------------------+-+------> DONE <'----------------'
 *
 * Every arrow but those to DONE is one compare-and-exchange: whoever wins it decides. An arrow to DONE is
 * a store by the one who owns the state before it:
 *  - WITHDRAWN: the canceller if the pool gives the job back, else the helper that just took it; -ECANCELED;
 *  - MOVING, MOVING_CANCEL: the helper, with the bytes; with -ECANCELED after MOVING_CANCEL and -EAGAIN;
 *  - CANCELLED: park: the canceller, which has unhooked it. block: the helper, after it has taken the
 *    canceller's signal off. -ECANCELED.
 */
#ifndef TAIO_ENGINE_THREADS_OP_H
#define TAIO_ENGINE_THREADS_OP_H

#include "done.h"
#include "waiters.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum op_state {
	OP_FREE,
	OP_QUEUED,
	OP_WITHDRAWN,
	OP_MOVING,
	OP_MOVING_CANCEL,
	OP_WAITING,
	OP_CANCELLED,
	OP_DONE,
};

struct threads_op {
	struct job job; /* the pool's, then in the done list */
	struct waiter waiter;
	struct done *done; /* the ring's: the way back */
	_Atomic enum op_state state;
	bool is_parked;	       /* set at submit */
	enum taio_class class; /* set at submit */
	uint32_t link;	       /* the slots' */
	pthread_t helper;      /* that carries it out; valid for a canceller that took it from WAITING */
	long res;	       /* written before DONE */
};

static inline struct threads_op *job_to_op(struct job *job)
{
	return (struct threads_op *)job;
}

static inline bool op_step(struct threads_op *op, enum op_state from, enum op_state to)
{
	return atomic_compare_exchange_strong(&op->state, &from, to);
}

/* By the owner of the state. The operation is the ring's thread's from here on. */
void threads_op_finish(struct threads_op *op, long res);

/* The canceller's move: returns the state that it found, having changed it if it could be changed. */
enum op_state threads_op_cancel(struct threads_op *op);

#endif
