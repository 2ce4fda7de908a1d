/* SPDX-License-Identifier: MIT */
/*
 * A worker: one thread, one libev loop, one ring, its connections. Workers share only the read-only
 * configuration and the listeners; daemon.c controls them through requests.
 */
#ifndef WORKER_H
#define WORKER_H

#include "intake.h"
#include "roster.h"
#include "server/conn/shard.h"

#include <ev.h>
#include <pthread.h>
#include <semaphore.h>
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
	uint64_t deadlines_us[DEADLINE_NCLASSES]; /* when they end */
	ev_timer look;				  /* at connections that are watched */
	ev_timer drain;
	bool is_finishing; /* connections have been asked to, and drain limits it */
	ev_timer leave;	   /* connections of listeners that are gone */
	ev_timer beat;
	struct intake_host host;
	struct intake *intake; /* in effect */
	struct intake *next;   /* prepared, until it is committed or aborted */
	pthread_t thread;
	atomic_int requests; /* enum worker_request, or-ed; set by the daemon, cleared here */
	double beat_s;
	atomic_uint_fast64_t beats; /* grows while the loop turns, and the ring answers the probe */
	uint64_t beats_seen;	    /* when the watchdog looked last, on the main thread */
	atomic_bool done;
	void (*on_done)(void *arg); /* called on the worker's thread just before it ends */
	void *on_done_arg;
	struct roster_desk desk;
	sem_t answered; /* to WORKER_PREPARE and WORKER_COMMIT, for which the daemon waits */
	struct {
		struct config *config; /* set by the daemon with WORKER_PREPARE, which keeps it meanwhile */
		int ret;
		char why[INTAKE_WHY_LEN];
	} answer;
};

enum worker_request {
	WORKER_DRAIN = 1,   /* stop accepting, finish requests, end */
	WORKER_STOP = 2,    /* end at once */
	WORKER_PREPARE = 4, /* a configuration, see worker_prepare() */
	WORKER_COMMIT = 8,  /* change over to it */
	WORKER_ABORT = 16,  /* drop it */
	WORKER_LEAVE = 32,  /* stop accepting; end once the connections have */
};

#define WORKER_WHY_LEN 512

/*
 * Operations that each of @nworkers may come to have in flight: two for each connection, those included of
 * which a session opens @outgoing.
 */
unsigned int worker_ops(const struct settings *settings, unsigned int nworkers, unsigned int outgoing);
/* What each of @nworkers wants its ring to be. */
struct taio_params worker_ring(const struct settings *settings, unsigned int nworkers);
/*
 * Opens the sites and the acceptors; takes metrics and its argument from @env. TLS handshakes are @crew's, or
 * the worker's own without one (NULL). 0: @ring is the worker's, and
 * worker_close() closes it; or -errno with why[WORKER_WHY_LEN], nothing left open, and @ring the caller's.
 */
int worker_open(struct worker *w, unsigned int index, struct config *config, unsigned int nworkers,
		struct taio *ring, struct crew *crew, const struct service_env *env, char *why);
/*
 * @beat_s: the maximum time between turns of its loop, each of which moves beats: for a watchdog, and for a
 * loop that is notified of nothing because epoll_ctl(2) ran out of memory. With a probe they only move while
 * the ring carries out operations. 0 or -errno.
 */
int worker_start(struct worker *w, double beat_s, bool has_probe);
void worker_request(struct worker *w, enum worker_request request);
/*
 * Has the worker prepare to serve @config, beside what it serves. worker_prepared() waits until it has: 0, or
 * -errno with why[WORKER_WHY_LEN] and nothing prepared. Then it is committed, and worker_committed() waits
 * until it has changed over, or aborted, both by request. Main thread, one configuration at a time.
 */
void worker_prepare(struct worker *w, struct config *config);
int worker_prepared(struct worker *w, char *why);
void worker_committed(struct worker *w);
/* After the thread has ended, and the crew. */
void worker_close(struct worker *w);

#endif
