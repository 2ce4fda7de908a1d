/* SPDX-License-Identifier: MIT */
/*
 * Policy park: operations wait in an epoll set, from where helper threads run what is ready. The ring's
 * thread calls all of it.
 */
#ifndef TAIO_ENGINE_THREADS_PARK_H
#define TAIO_ENGINE_THREADS_PARK_H

#include "engine_threads_op.h"
#include "waiters.h"

#include <pthread.h>
#include <stdatomic.h>

/* One thread in epoll_wait(2). */
struct poller {
	struct job job;
	struct park *park;
	bool is_running; /* under park.lock */
	bool stays;	 /* as long as the ring; the others leave when idle */
};

struct park {
	pthread_mutex_t lock; /* guards waiters and pollers */
	struct waiters waiters;
	struct pool *pool; /* where the pollers run */
	struct poller *pollers;
	unsigned int nr_pollers;
	atomic_uint nr_asleep; /* pollers in epoll_wait(2) */
	int set;
	int stop; /* eventfd in the set: pollers leave */
};

/* Starts the poller that stays, in @pool; up to @nr_pollers when it is busy. 0 or -errno. */
int park_open(struct park *park, struct pool *pool, unsigned int nr_pollers);

/* Tells the pollers to leave; pool_destroy() waits for them; then park_fini(). */
void park_stop(struct park *park);
void park_fini(struct park *park);

int park_attach(struct park *park, int fd);
void park_detach(struct park *park, int fd);

/* @op, which has been tried if that is of use, waits until its descriptor is ready. */
void park_submit(struct park *park, struct threads_op *op);
/*
 * The same for one that was not tried: it is as soon as it is first in line, ready or not. True: the first in
 * line was tried in vain.
 */
bool park_try(struct park *park, struct threads_op *op);

/* As taio_cancel(), for a parked operation. */
int park_cancel(struct park *park, struct threads_op *op);
/* After the cancel of @iocb: tries the read or write that waited behind it, ready or not. */
void park_try_next(struct park *park, const struct iocb *iocb);

#endif
