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
	atomic_int requests;		     /* enum worker_request, or-ed; set by the daemon, cleared here */
	_Atomic(const struct config *) next; /* for WORKER_RELOAD */
	atomic_uint_fast64_t beats;	     /* grows while the loop turns */
	atomic_bool done;
	void (*on_done)(void *arg); /* called on the worker's thread, last thing */
	void *on_done_arg;
	struct listener *listeners;
};

enum worker_request {
	WORKER_DRAIN = 1,  /* stop accepting, finish, end */
	WORKER_STOP = 2,   /* end at once */
	WORKER_RELOAD = 4, /* take the next configuration */
};

#define WORKER_WHY_LEN 512

/*
 * Opens the ring, the sites and the acceptors; of @env, metrics is taken over. Nothing is left behind on
 * failure.
 */
int worker_open(struct worker *w, unsigned int index, const struct config *config, struct listener *listeners,
		unsigned int nlisteners, unsigned int nworkers, const struct service_env *env, char *why);
int worker_start(struct worker *w);
void worker_request(struct worker *w, enum worker_request request);
/* After the thread has ended. */
void worker_close(struct worker *w);

#endif
