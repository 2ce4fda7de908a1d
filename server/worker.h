/* SPDX-License-Identifier: MIT */
/*
 * A worker: one thread, one libev loop, one ring, its connections. Workers share only the read-only
 * configuration and the listeners; daemon.c controls them through requests.
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
	struct service_env env; /* for the services */
	struct ev_loop *loop;
	ev_prepare turn;
	ev_io ring_ready;
	ev_idle again; /* active while the ring has more than one turn may take */
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
	struct config *config;	       /* in use; holds a reference. The worker's thread */
	_Atomic(struct config *) next; /* to be taken next; whoever exchanges it gets its reference */
	double beat_s;
	atomic_uint_fast64_t beats; /* grows while the loop turns */
	atomic_bool done;
	void (*on_done)(void *arg); /* called on the worker's thread just before it ends */
	void *on_done_arg;
	struct listener *listeners;
};

enum worker_request {
	WORKER_DRAIN = 1,  /* stop accepting, finish requests, end */
	WORKER_STOP = 2,   /* end at once */
	WORKER_RELOAD = 4, /* take the next configuration; see worker_reload() */
};

#define WORKER_WHY_LEN 512

/*
 * Opens the ring (of @engine), the sites and the acceptors; takes metrics and its argument from @env. 0, or
 * -errno with why[WORKER_WHY_LEN] and nothing left open.
 */
int worker_open(struct worker *w, unsigned int index, struct config *config, struct listener *listeners,
		unsigned int nlisteners, unsigned int nworkers, const char *engine,
		const struct service_env *env, char *why);
/* Operations that its ring may come to have in flight. */
unsigned int worker_entries(const struct worker *w, const struct settings *settings);
/*
 * @beat_s: the maximum time between turns of its loop, each of which moves beats: for a watchdog, and for a
 * loop that is notified of nothing because epoll_ctl(2) ran out of memory. 0 or -errno.
 */
int worker_start(struct worker *w, double beat_s);
void worker_request(struct worker *w, enum worker_request request);
/* Has the worker take @config at its next turn. Main thread. */
void worker_reload(struct worker *w, struct config *config);
/* After the thread has ended. */
void worker_close(struct worker *w);

#endif
