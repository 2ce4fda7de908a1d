/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of jobs that are done and that the ring's thread has not taken yet. Helpers push, the ring's
 * thread takes. Invariant: for a list that is not empty the eventfd has been written or is about to be.
 */
#include "done.h"

#include <stdint.h>
#include <unistd.h>

void done_init(struct done *done, int eventfd)
{
	pthread_mutex_init(&done->lock, NULL);
	STAILQ_INIT(&done->jobs);
	done->eventfd = eventfd;
}

void done_fini(struct done *done)
{
	pthread_mutex_destroy(&done->lock);
}

void done_push(struct done *done, struct job *job)
{
	const uint64_t one = 1;
	bool was_empty;

	pthread_mutex_lock(&done->lock);
	was_empty = STAILQ_EMPTY(&done->jobs);
	STAILQ_INSERT_TAIL(&done->jobs, job, link);
	pthread_mutex_unlock(&done->lock);

	/* Outside the lock, which the reader takes as soon as it wakes. Fails only if the counter is full,
	 * and then the eventfd is readable anyway. */
	if (was_empty && write(done->eventfd, &one, sizeof(one)) < 0)
		return;
}

void done_take(struct done *done, struct job_list *jobs)
{
	pthread_mutex_lock(&done->lock);
	STAILQ_CONCAT(jobs, &done->jobs);
	pthread_mutex_unlock(&done->lock);
}
