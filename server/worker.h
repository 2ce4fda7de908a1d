/* SPDX-License-Identifier: MIT */
/*
 * A worker: one thread, one libev loop, one ring, its connections. Workers share nothing but the read-only
 * settings and listeners; daemon.c talks to them through requests.
 */
#ifndef WORKER_H
#define WORKER_H

#include "accept.h"
#include "listener.h"
#include "server/conn/shard.h"

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

struct config;

struct worker {
	struct shard shard;
	struct service_env env; /* what the services find here */
	struct ev_loop *loop;
	ev_prepare turn;
	ev_io ring_ready;
	ev_idle again; /* started while the ring had more than one turn may take */
	ev_async wake;
	ev_timer deadlines[DEADLINE_NCLASSES];
	ev_timer drain;
	ev_timer beat;
	struct acceptor *acceptors;
	unsigned int nacceptors;
	unsigned int index;
	unsigned int limit; /* connections */
	pthread_t thread;
	atomic_int requests;	       /* enum worker_request, or-ed; set by the daemon, cleared here */
	struct config *config;	       /* in use; a reference. That worker's thread */
	_Atomic(struct config *) next; /* to be taken; a reference, of whoever exchanges it */
	double beat_s;
	atomic_uint_fast64_t beats; /* grows while the loop turns */
	atomic_bool done;
	void (*on_done)(void *arg); /* called on the worker's thread, last thing */
	void *on_done_arg;
	struct listener *listeners;
};

enum worker_request {
	WORKER_DRAIN = 1,  /* stop accepting, finish, end */
	WORKER_STOP = 2,   /* end at once */
	WORKER_RELOAD = 4, /* take the next configuration; see worker_reload() */
};

#define WORKER_WHY_LEN 512

/*
 * Opens the ring, the sites and the acceptors; of @env, metrics is taken over. Nothing is left behind on
 * failure.
 */
int worker_open(struct worker *w, unsigned int index, struct config *config, struct listener *listeners,
		unsigned int nlisteners, unsigned int nworkers, const struct service_env *env, char *why);
/*
 * @beat_s: how often its loop turns at least, and moves beats: for a watchdog, and for a loop that is told of
 * nothing as epoll_ctl(2) has failed for want of memory. -errno.
 */
int worker_start(struct worker *w, double beat_s);
void worker_request(struct worker *w, enum worker_request request);
/* The worker takes @config soon. Main thread. */
void worker_reload(struct worker *w, struct config *config);
/* After the thread has ended. */
void worker_close(struct worker *w);

#endif
