/* SPDX-License-Identifier: MIT */
/*
 * The way back from helper threads: many push, the ring's thread takes all.
 *
 * done_push() writes the eventfd only when the list was empty, so that a burst costs one wake-up. The reader
 * resets the eventfd first and takes the list after that, so that no push can fall between.
 */
#ifndef TAIO_DONE_H
#define TAIO_DONE_H

#include "pool.h"

#include <pthread.h>

STAILQ_HEAD(job_list, job);

struct done {
	pthread_mutex_t lock;
	struct job_list jobs;
	int eventfd; /* borrowed from the ring */
};

void done_init(struct done *done, int eventfd);
void done_fini(struct done *done);
void done_push(struct done *done, struct job *job);

/* Moves everything to @jobs (initialised by the caller, appended to). No system call if the list is empty. */
void done_take(struct done *done, struct job_list *jobs);

#endif
