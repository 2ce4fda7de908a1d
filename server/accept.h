/* SPDX-License-Identifier: MIT */
/* Accepts new connections from one listening socket for one worker. */
#ifndef ACCEPT_H
#define ACCEPT_H

#include "log.h"
#include "server/conn/conn.h"

#include <ev.h>

struct acceptor {
	ev_io io;
	ev_timer retry; /* after EMFILE and the like: backs off rather than spins; full: looks for slots */
	struct shard *shard;
	struct endpoint *endpoint; /* holds a reference */
	struct conn_group *group;  /* holds a reference; it has the limits */
	struct ev_loop *loop;
	unsigned int limit; /* connections of this worker, of all listeners */
	int fd;		    /* borrowed from the listener; -1: it is another worker's */
	double tokens;	    /* of accept-rate: each takes one */
	uint64_t filled_us; /* up to when there are those */
	bool full;	    /* paused until a connection ends or slots are freed (FULL_WAIT) */
	struct log_limit accept_limit, admit_limit, slots_limit;
};

void acceptor_start(struct acceptor *a, struct ev_loop *loop);
void acceptor_stop(struct acceptor *a);

/* Goes on if it was paused and there is room again, or when-full is no longer wait. */
void acceptor_resume(struct acceptor *a);

#endif
