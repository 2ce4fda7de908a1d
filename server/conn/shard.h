/* SPDX-License-Identifier: MIT */
/*
 * What the connections of one worker share: the ring, the batch being gathered, the deadlines, buffers and
 * counters. Owned by worker.c; touched on the worker's thread alone (counters may be read by others).
 */
#ifndef CONN_SHARD_H
#define CONN_SHARD_H

#include "aio/taio.h"
#include "base/hist.h"
#include "server/counters.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct conn;
struct settings;
struct iocb;

/* Each class has one timeout, so that its list is in the order of its deadlines. */
enum deadline_class {
	DEADLINE_NONE,
	DEADLINE_HANDSHAKE,
	DEADLINE_HEADER,
	DEADLINE_IDLE,
	DEADLINE_WRITE,
	DEADLINE_LINGER,
	DEADLINE_NCLASSES
};

TAILQ_HEAD(conn_queue, conn);
LIST_HEAD(conn_list, conn);

/* Operations gathered during a turn (io.c). Those that the ring has no room for stay, in order. */
struct batch {
	struct iocb **iocbs;
	unsigned int len, cap;
};

/* Buffers of IOBUF_SIZE bytes that an active connection borrows (iobuf.c). */
#define IOBUF_SIZE (18 * 1024)

struct iobuf {
	struct iobuf *next;
};

struct iobufs {
	struct iobuf *free;
	unsigned int nfree;
};

typedef void shard_event(struct conn *c, int event, long res); /* enum conn_event */

struct shard {
	shard_event *on_event; /* conn_fsm.c */
	struct taio *ring;
	struct batch batch;
	struct iobufs iobufs;
	const struct settings *settings;
	uint64_t timeouts_us[DEADLINE_NCLASSES]; /* 0: this class never expires */
	struct conn_queue deadlines[DEADLINE_NCLASSES];
	struct conn_list conns;
	unsigned int nconns;
	uint64_t now_us; /* clock_us() at the start of the turn, or at an accept since */
	bool draining;
	struct counters counters;
	struct hist cancel_us;	/* taio_cancel() to completion */
	unsigned char *scratch; /* SCRATCH_SIZE bytes: plaintext between tls and service */
};

#define SCRATCH_SIZE (16 * 1024)

#endif
