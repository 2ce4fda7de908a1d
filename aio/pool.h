/* SPDX-License-Identifier: MIT */
/*
 * Helper threads that grow on demand up to a cap and leave when idle.
 *
 * A job is queued by any thread, run by one helper, and comes back through a done list (done.h).
 * Its memory is the submitter's. Every signal is blocked in the helpers.
 *
 * There are two kinds of jobs. One that may wait for a helper is short: it ends by itself, however slow the
 * disk. One that may not wait may sit in its helper for as long as a peer likes. The pool always keeps one
 * helper free of sitting jobs, so that short jobs get their turn.
 */
#ifndef TAIO_POOL_H
#define TAIO_POOL_H

#include <stdbool.h>
#include <sys/queue.h>

struct job {
	STAILQ_ENTRY(job) link; /* the pool's from submit until run() is called, then run()'s */
	void (*run)(struct job *job);
	bool queued; /* pool.c, under its lock */
	bool sits;   /* pool.c: submitted with @may_wait false */
};

STAILQ_HEAD(job_list, job);

struct pool;

/* Starts no thread yet. @cap is the maximum number of helpers, at least 2: one for sitting jobs, one free of
 * them. */
int pool_create(struct pool **pool, unsigned int cap);

/* Waits until every job that was queued has run, then joins the helpers. NULL is allowed. */
void pool_destroy(struct pool *pool);

/*
 * Queues @job and wakes or starts a helper. -EAGAIN, and @job is still the caller's: @may_wait is false and
 * all helpers for sitting jobs are busy, or there is no helper and none can be started.
 */
int pool_submit(struct pool *pool, struct job *job, bool may_wait);

/* Takes back a job that no helper has begun. False: it has been begun or is done. */
bool pool_withdraw(struct pool *pool, struct job *job);

#endif
