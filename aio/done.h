/* SPDX-License-Identifier: MIT */
/*
 * The way back from helper threads: helpers push, the ring's thread takes everything.
 *
 * done_push() writes the eventfd only when the list was empty, so that a burst costs one wake-up. The reader
 * resets the eventfd itself, and takes the list after that, so that no push can fall between. The write may
 * come after its job was taken: that costs one spurious wake-up.
 */
#ifndef TAIO_DONE_H
#define TAIO_DONE_H

#include "pool.h"

#include <pthread.h>

struct done {
	pthread_mutex_t lock;
	struct job_list jobs;
	int eventfd; /* borrowed from the ring */
};

void done_init(struct done *done, int eventfd);

/* No helper may be pushing any more: after pool_destroy(). */
void done_fini(struct done *done);

/* Any thread. @job is the reader's from here on. */
void done_push(struct done *done, struct job *job);

/*
 * Moves everything to @jobs (initialised by the caller, appended to). Never touches the eventfd; before the
 * caller sleeps, it resets the eventfd and calls this once more.
 */
void done_take(struct done *done, struct job_list *jobs);

#endif
