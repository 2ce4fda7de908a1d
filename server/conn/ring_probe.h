/* SPDX-License-Identifier: MIT */
/*
 * An operation of no connection, which shows that the ring carries out what it is given: a read of a pipe
 * into which each beat of the loop writes a byte. Worker's thread, but for ring_probe_open() and
 * ring_probe_close().
 */
#ifndef CONN_RING_PROBE_H
#define CONN_RING_PROBE_H

#include "aio/batch_op.h"

#include <stdbool.h>
#include <stdint.h>

struct taio;

#define PROBE_OPS 1

/* All zero is none. */
struct ring_probe {
	struct op op;
	int fds[2], afd; /* the pipe, and its end to read from as the ring knows it */
	char byte;
	bool is_open;
	bool is_answered; /* the byte of the last beat has come through */
};

/* Reads will be operations of @kind, whose data is @probe; @batch gets room for one. 0 or -errno. */
int ring_probe_open(struct ring_probe *probe, uint8_t kind, struct batch *batch, struct taio *ring);
/* Starts the next one. Whether the byte of the beat before has come through; true if there is no probe. */
bool ring_probe_beat(struct ring_probe *probe, struct batch *batch);
/* The event of its operation, which is idle again. */
void ring_probe_done(struct ring_probe *probe, long res);
/* After the ring was closed. */
void ring_probe_close(struct ring_probe *probe);

#endif
