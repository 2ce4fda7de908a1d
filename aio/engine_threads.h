/* SPDX-License-Identifier: MIT */
/*
 * What the files of engine threads share: the operation with its state word, and the ring.
 *
 * engine_threads.c decides who carries an operation out, engine_threads_block.c and engine_threads_park.c do
 * it. The life of an operation, by both policies:
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
#ifndef TAIO_THREADS_H
#define TAIO_THREADS_H

#include "done.h"
#include "engine.h"
#include "slots.h"
#include "waiters.h"

#include <pthread.h>
#include <stdatomic.h>

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
	struct threads_ring *ring;
	_Atomic enum op_state state;
	bool is_parked;	       /* set at submit */
	enum taio_class class; /* set at submit */
	pthread_t helper;      /* who carries it out; valid for a canceller that took it from WAITING */
	long res;	       /* written before DONE */
};

/* One thread in epoll_wait(2). */
struct poller {
	struct job job;
	struct threads_ring *ring;
	bool is_running; /* under park.lock */
	bool stays;	 /* as long as the ring; the others leave when idle */
};

struct park {
	pthread_mutex_t lock; /* guards waiters and pollers */
	struct waiters waiters;
	struct poller *pollers;
	unsigned int nr_pollers;
	atomic_uint nr_asleep; /* pollers in epoll_wait(2) */
	int set;
	int stop; /* eventfd in the set: pollers leave */
};

struct threads_ring {
	struct taio ring;
	struct slots slots;
	struct threads_op *ops; /* by slot */
	struct pool *pool;
	struct done done;
	struct job_list taken; /* from the done list, not handed out */
	struct park park;
	bool blocks; /* policy block */
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
void op_finish(struct threads_op *op, long res);

/* The canceller's move: returns the state that it found, having changed it if it could be changed. */
enum op_state op_cancel(struct threads_op *op);

/* engine_threads_block.c */

/* Once in a process, before the first operation: 0 or -errno, and why. */
int block_init(char *why);

/* Job: one operation from the beginning to the end, waiting included. */
void block_run(struct job *job);

/* After OP_WAITING -> OP_CANCELLED of an operation that a helper blocks for. */
void block_interrupt(struct threads_op *op);

/* engine_threads_park.c */

/* Starts the poller that stays. Needs r->pool. */
int park_open(struct threads_ring *r, unsigned int nr_pollers);

/* Tells the pollers to leave; pool_destroy() waits for them; then park_fini(). */
void park_stop(struct park *park);
void park_fini(struct park *park);

int park_attach(struct park *park, int fd);
void park_detach(struct park *park, int fd);
void park_submit(struct park *park, struct threads_op *op);

/* As taio_cancel(), for a parked operation. */
int park_cancel(struct park *park, struct threads_op *op);

#endif
