/* SPDX-License-Identifier: MIT */
/*
 * Helper threads that grow on demand up to a cap and leave when idle.
 *
 * A job is queued by the ring's thread, run by one helper, and comes back through a done list (done.h).
 * Its memory is the submitter's. Every signal is blocked in the helpers.
 */
#ifndef TAIO_POOL_H
#define TAIO_POOL_H

#include <stdbool.h>
#include <sys/queue.h>

struct job {
	STAILQ_ENTRY(job) link; /* the pool's from submit until run() is called, then run()'s */
	void (*run)(struct job *job);
	bool queued;		/* pool.c, under its lock */
};

struct pool;

int pool_create(struct pool **pool, unsigned int cap);

/* Waits until every job that was queued has run, then joins the helpers. */
void pool_destroy(struct pool *pool);

/* Queues @job; wakes or starts a helper. -EAGAIN: all helpers are busy, the cap is reached and @may_wait is
 * false, or no helper exists and none can be started. */
int pool_submit(struct pool *pool, struct job *job, bool may_wait);

/* Takes back a job that no helper has begun. False: it has been begun or is done. */
bool pool_withdraw(struct pool *pool, struct job *job);

#endif
