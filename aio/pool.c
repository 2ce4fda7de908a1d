/* SPDX-License-Identifier: MIT */
/*
 * Owns the helper threads and the queue of jobs that no helper has begun. Called by the ring's thread
 * and by jobs; helpers live in helper_main() and in their jobs.
 *
 * Invariants, under the lock:
 *  - a queued job has a helper that is waking up for it, or one that is busy with a short job and takes it
 * next;
 *  - sitting jobs, including queued ones, take at most cap - 1 helpers;
 *  - a helper leaves only when the queue is empty.
 *
 * Idle helpers are a stack: the one that ran last is woken first, so that those at the bottom time out and
 * leave. A helper that leaves joins the one that left before it, so that joining the last one joins all.
 */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	IDLE_S = 10,
	STACK_BYTES = 64 << 10,
	/* Sanitizers put red zones and shadow copies on the stack. */
	STACK_SANITIZED_BYTES = 1 << 20,
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

struct helper {
	pthread_cond_t wake;
	SLIST_ENTRY(helper) link; /* pool->idle */
	bool is_idle;
};

struct pool {
	pthread_mutex_t lock;
	struct job_list queue;
	SLIST_HEAD(, helper) idle;
	unsigned int cap;
	unsigned int nr_helpers;
	unsigned int nr_sitting; /* jobs with ->sits, queued or running */
	bool is_closing;
	bool has_left;	     /* @left is a thread to be joined */
	pthread_t left;	     /* the helper that left last */
	pthread_cond_t gone; /* nr_helpers fell to 0 */
	pthread_condattr_t monotonic;
	pthread_attr_t attr;
};

static size_t stack_bytes(void)
{
	long min = sysconf(_SC_THREAD_STACK_MIN);

	return (min > 0 ? min : 0) + (SANITIZED ? STACK_SANITIZED_BYTES : STACK_BYTES);
}

int pool_create(struct pool **pool, unsigned int cap)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	STAILQ_INIT(&p->queue);
	SLIST_INIT(&p->idle);
	p->cap = cap < 2 ? 2 : cap;
	pthread_cond_init(&p->gone, NULL);
	pthread_condattr_init(&p->monotonic);
	pthread_condattr_setclock(&p->monotonic, CLOCK_MONOTONIC);
	pthread_attr_init(&p->attr);
	pthread_attr_setstacksize(&p->attr, stack_bytes());
	*pool = p;
	return 0;
}

/* Lock held. The helper is off the stack and looks at the queue as soon as it gets the lock. */
static bool wake_idle(struct pool *pool)
{
	struct helper *helper = SLIST_FIRST(&pool->idle);

	if (helper == NULL)
		return false;
	SLIST_REMOVE_HEAD(&pool->idle, link);
	helper->is_idle = false;
	pthread_cond_signal(&helper->wake);
	return true;
}

/* Lock held. Sleeps until woken: true. False: nothing to do for IDLE_S seconds. */
static bool helper_sleep(struct pool *pool, struct helper *self)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_S;
	self->is_idle = true;
	SLIST_INSERT_HEAD(&pool->idle, self, link);
	while (self->is_idle && err == 0)
		err = pthread_cond_timedwait(&self->wake, &pool->lock, &until);
	if (!self->is_idle)
		return true;
	SLIST_REMOVE(&pool->idle, self, helper, link);
	return false;
}

/* Lock held on entry and exit. */
static void helper_run(struct pool *pool)
{
	struct job *job = STAILQ_FIRST(&pool->queue);
	bool sits = job->sits; /* @job may be gone when run() returns */

	STAILQ_REMOVE_HEAD(&pool->queue, link);
	job->queued = false;
	pthread_mutex_unlock(&pool->lock);
	job->run(job);
	pthread_mutex_lock(&pool->lock);
	pool->nr_sitting -= sits;
}

/* Lock held; released. */
static void helper_leave(struct pool *pool)
{
	pthread_t before = pool->left;
	bool join = pool->has_left;

	pool->left = pthread_self();
	pool->has_left = true;
	if (--pool->nr_helpers == 0)
		pthread_cond_signal(&pool->gone);
	pthread_mutex_unlock(&pool->lock);
	if (join)
		pthread_join(before, NULL);
}

static void *helper_main(void *arg)
{
	struct pool *pool = arg;
	struct helper self = {.is_idle = false};

	pthread_setname_np(pthread_self(), "taio-helper");
	pthread_mutex_lock(&pool->lock);
	pthread_cond_init(&self.wake, &pool->monotonic);
	for (;;) {
		if (!STAILQ_EMPTY(&pool->queue))
			helper_run(pool);
		else if (pool->is_closing || !helper_sleep(pool, &self))
			break;
	}
	pthread_cond_destroy(&self.wake);
	helper_leave(pool);
	return NULL;
}

/* Lock held: the new helper waits for it, so that it cannot look before the job is queued. */
static bool helper_start(struct pool *pool)
{
	sigset_t all, before;
	pthread_t thread;
	int err;

	if (pool->nr_helpers == pool->cap)
		return false;
	/* Inherited by the thread. A write to a peer that is gone raises SIGPIPE for the writing thread only:
	 * there it stays blocked and pending, and disappears with the thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &pool->attr, helper_main, pool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0)
		return false;
	pool->nr_helpers++;
	return true;
}

/* Lock held. Finds, wakes or starts a helper for one more job of this kind. False: there is none. */
static bool find_helper(struct pool *pool, bool may_wait)
{
	if (!may_wait && pool->nr_sitting + 1 >= pool->cap)
		return false;
	if (wake_idle(pool) || helper_start(pool))
		return true;
	return may_wait && pool->nr_helpers > pool->nr_sitting;
}

int pool_submit(struct pool *pool, struct job *job, bool may_wait)
{
	int err = -EAGAIN;

	pthread_mutex_lock(&pool->lock);
	if (find_helper(pool, may_wait)) {
		job->queued = true;
		job->sits = !may_wait;
		pool->nr_sitting += job->sits;
		STAILQ_INSERT_TAIL(&pool->queue, job, link);
		err = 0;
	}
	pthread_mutex_unlock(&pool->lock);
	return err;
}

bool pool_withdraw(struct pool *pool, struct job *job)
{
	bool was_queued;

	pthread_mutex_lock(&pool->lock);
	was_queued = job->queued;
	if (was_queued) {
		STAILQ_REMOVE(&pool->queue, job, job, link);
		job->queued = false;
		pool->nr_sitting -= job->sits;
	}
	pthread_mutex_unlock(&pool->lock);
	return was_queued;
}

void pool_destroy(struct pool *pool)
{
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->is_closing = true;
	while (wake_idle(pool))
		;
	while (pool->nr_helpers > 0)
		pthread_cond_wait(&pool->gone, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	if (pool->has_left)
		pthread_join(pool->left, NULL);
	pthread_attr_destroy(&pool->attr);
	pthread_condattr_destroy(&pool->monotonic);
	pthread_cond_destroy(&pool->gone);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
