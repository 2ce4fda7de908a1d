/* SPDX-License-Identifier: MIT */
/*
 * What the connections of one worker share: the ring, the batch being gathered, the deadlines, buffers and
 * counters. Owned by worker.c. Everything in this folder is used only on the worker's thread, except that any
 * thread may read the counters, and that threads of the crew run what shake.c gives them.
 */
#ifndef CONN_SHARD_H
#define CONN_SHARD_H

#include "aio/batch.h"
#include "aio/taio.h"
#include "base/hist.h"
#include "buf.h"
#include "ring_probe.h"
#include "server/census.h"
#include "server/counters.h"
#include "server/crew.h"
#include "server/log.h"
#include "server/memory.h"
#include "server/tally.h"
#include "server/timeout.h"
#include "server/times.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct access_queue;
struct conn;
struct conn_group;
struct settings;

TAILQ_HEAD(conn_queue, conn);
TAILQ_HEAD(watch_queue, watch);
LIST_HEAD(conn_list, conn);
LIST_HEAD(conn_group_list, conn_group);
STAILQ_HEAD(conn_woken, conn);

struct shard {
	struct taio *ring;
	struct crew *crew;     /* carries out TLS handshakes; NULL: the loop does */
	struct crew_tray tray; /* what it has carried out */
	struct batch batch;    /* operations started in this turn, and those for which the ring had no room */
	struct ring_probe probe; /* for a watchdog */
	struct blocks blocks;
	const struct settings *settings;
	struct access_queue *access; /* of the access log; NULL: there is none */
	struct census_limit census; /* of the settings */
	struct conn_group_list groups;
	/* By class: the earliest deadline that a list has got that was empty, since the worker looked; 0:
	 * none. */
	uint64_t soonest_us[DEADLINE_NCLASSES];
	struct conn_queue late;	    /* their deadlines have passed, but there are bytes to be read first */
	struct watch_queue watched; /* in the order in which they are looked at */
	struct conn_list conns;
	struct conn_woken
		woken; /* to be resumed, or ended, before this turn submits; each holds a reference */
	unsigned int nconns, naccepted; /* all, and those that are not outgoing */
	uint64_t nids;			/* given to connections */
	uint64_t max_memory;		/* of the settings: bytes, of the process; 0: no bound */
	size_t fixed;			/* what conn_fixed_memory() says of all connections, and their records */
	struct memory_part memory;	/* what was told of it */
	uint64_t turn;			/* from 1; another whenever events or the clock were taken */
	uint64_t now_us; /* clock_us() at the start of the turn, or at what libev has brought since */
	bool draining;
	struct counters counters;
	struct tally_book book;			  /* the same by listener and backend */
	struct log_limit read_limit, short_limit; /* files that fail while they are sent */
	struct log_limit tls_limit, proxy_limit, address_limit, memory_limit, close_limits[CLOSE_NREASONS];
	struct hist cancel_us; /* taio_cancel() to completion */
	struct times times[TIME_MAX];
	unsigned char *scratch; /* SCRATCH_SIZE bytes: plaintext between tls and service */
};

#define SCRATCH_SIZE (16 * 1024)

#endif
