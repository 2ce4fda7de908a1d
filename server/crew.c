/* SPDX-License-Identifier: MIT */
/*
 * Locks: the crew's for the queue, a tray's for what lies in it; neither is taken inside the other. What a
 * job has written is seen by who takes it off the tray, and the other way round by who runs it.
 */
#include "crew.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

#define NONE_WAITED UINT64_MAX

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t more; /* something was queued, or is_closing */
	struct crew_jobs queue;
	bool is_closing;
	uint64_t nbegun;      /* jobs */
	uint64_t nbegun_seen; /* at the last crew_is_stuck(), or NONE_WAITED */
	unsigned int n;
	pthread_t threads[];
};

/* The worker may end, and its loop with it, once it has taken the last job: the wake-up comes before that. */
static void give_back(struct crew_job *job)
{
	struct crew_tray *tray = job->tray;

	pthread_mutex_lock(&tray->lock);
	if (TAILQ_EMPTY(&tray->jobs))
		tray->wake(tray->arg);
	TAILQ_INSERT_TAIL(&tray->jobs, job, link);
	pthread_mutex_unlock(&tray->lock);
}

/* Lock held. Waits for a job; NULL: the crew ends. */
static struct crew_job *next_job(struct crew *crew)
{
	struct crew_job *job;

	while (!(job = TAILQ_FIRST(&crew->queue)) && !crew->is_closing)
		pthread_cond_wait(&crew->more, &crew->lock);
	if (job) {
		TAILQ_REMOVE(&crew->queue, job, link);
		job->is_queued = false;
		crew->nbegun++;
	}
	return job;
}

static void *thread_main(void *arg)
{
	struct crew *crew = arg;
	struct crew_job *job;

	pthread_setname_np(pthread_self(), "taiod-handshake");
	pthread_mutex_lock(&crew->lock);
	while ((job = next_job(crew))) {
		pthread_mutex_unlock(&crew->lock);
		job->run(job);
		give_back(job);
		pthread_mutex_lock(&crew->lock);
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

/* Signals are the main thread's: the threads inherit a mask that blocks them all. */
static int start(struct crew *crew, unsigned int n)
{
	sigset_t all, before;
	int ret = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (crew->n < n && !ret) {
		ret = -pthread_create(&crew->threads[crew->n], NULL, thread_main, crew);
		crew->n += !ret;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

int crew_create(struct crew **crew, unsigned int n)
{
	struct crew *made = calloc(1, sizeof(*made) + n * sizeof(made->threads[0]));
	int ret;

	if (!made)
		return -ENOMEM;
	pthread_mutex_init(&made->lock, NULL);
	pthread_cond_init(&made->more, NULL);
	TAILQ_INIT(&made->queue);
	made->nbegun_seen = NONE_WAITED;
	ret = start(made, n);
	if (ret)
		crew_destroy(made);
	else
		*crew = made;
	return ret;
}

void crew_destroy(struct crew *crew)
{
	if (!crew)
		return;
	pthread_mutex_lock(&crew->lock);
	assert(TAILQ_EMPTY(&crew->queue));
	crew->is_closing = true;
	pthread_cond_broadcast(&crew->more);
	pthread_mutex_unlock(&crew->lock);
	for (unsigned int i = 0; i < crew->n; i++)
		pthread_join(crew->threads[i], NULL);
	pthread_cond_destroy(&crew->more);
	pthread_mutex_destroy(&crew->lock);
	free(crew);
}

void crew_submit(struct crew *crew, struct crew_job *job)
{
	pthread_mutex_lock(&crew->lock);
	job->is_queued = true;
	TAILQ_INSERT_TAIL(&crew->queue, job, link);
	pthread_cond_signal(&crew->more);
	pthread_mutex_unlock(&crew->lock);
}

bool crew_withdraw(struct crew *crew, struct crew_job *job)
{
	bool was_queued;

	pthread_mutex_lock(&crew->lock);
	was_queued = job->is_queued;
	if (was_queued)
		TAILQ_REMOVE(&crew->queue, job, link);
	job->is_queued = false;
	pthread_mutex_unlock(&crew->lock);
	return was_queued;
}

bool crew_is_stuck(struct crew *crew)
{
	bool is_stuck;

	pthread_mutex_lock(&crew->lock);
	is_stuck = !TAILQ_EMPTY(&crew->queue) && crew->nbegun == crew->nbegun_seen;
	crew->nbegun_seen = TAILQ_EMPTY(&crew->queue) ? NONE_WAITED : crew->nbegun;
	pthread_mutex_unlock(&crew->lock);
	return is_stuck;
}

/* --- trays --- */

void crew_tray_init(struct crew_tray *tray, void (*wake)(void *arg), void *arg)
{
	pthread_mutex_init(&tray->lock, NULL);
	TAILQ_INIT(&tray->jobs);
	tray->wake = wake;
	tray->arg = arg;
}

void crew_tray_fini(struct crew_tray *tray)
{
	assert(TAILQ_EMPTY(&tray->jobs));
	pthread_mutex_destroy(&tray->lock);
}

struct crew_job *crew_tray_take(struct crew_tray *tray)
{
	struct crew_job *job;

	pthread_mutex_lock(&tray->lock);
	job = TAILQ_FIRST(&tray->jobs);
	if (job)
		TAILQ_REMOVE(&tray->jobs, job, link);
	pthread_mutex_unlock(&tray->lock);
	return job;
}
