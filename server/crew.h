/* SPDX-License-Identifier: MIT */
/*
 * Threads that carry out what would keep the workers' loops for too long. All workers share them.
 *
 * A worker's thread submits a job, one of the crew runs it, and it comes back through the tray of the worker.
 * Its memory is the submitter's, who bounds the queue (SHAKES_MAX). The first that came is the first that is
 * run.
 */
#ifndef CREW_H
#define CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

struct crew;
struct crew_tray;

struct crew_job {
	TAILQ_ENTRY(crew_job) link;	   /* the queue's, then the tray's */
	struct crew_tray *tray;		   /* where it comes back */
	void (*run)(struct crew_job *job); /* on a thread of the crew */
	bool is_queued;			   /* crew.c, under its lock */
};

TAILQ_HEAD(crew_jobs, crew_job);

/* What comes back to one loop. */
struct crew_tray {
	pthread_mutex_t lock;
	struct crew_jobs jobs;
	void (*wake)(void *arg); /* on a thread of the crew, with the lock held */
	void *arg;
};

/* Starts @n threads, with every signal blocked. 0 or -errno. */
int crew_create(struct crew **crew, unsigned int n);
/* Every job must have come back or been withdrawn. Joins the threads. NULL is allowed. */
void crew_destroy(struct crew *crew);

/* From here until it comes back, @job and what it works on are the crew's. */
void crew_submit(struct crew *crew, struct crew_job *job);

/* Takes back a job that no thread has begun. False: it comes back, or has come back, through the tray. */
bool crew_withdraw(struct crew *crew, struct crew_job *job);

/* Whether jobs wait now, waited at the call before, and none has been begun since. For one thread. */
bool crew_is_stuck(struct crew *crew);

/* @wake is called when something comes to a tray that was empty. */
void crew_tray_init(struct crew_tray *tray, void (*wake)(void *arg), void *arg);
/* After crew_destroy(). */
void crew_tray_fini(struct crew_tray *tray);

/* The next that has come back, the caller's again; NULL: there is none, and the next one will wake. */
struct crew_job *crew_tray_take(struct crew_tray *tray);

#endif
