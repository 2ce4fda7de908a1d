/* SPDX-License-Identifier: MIT */
/*
 * From an io_event to the event of a connection. The one place that takes operations out of flight.
 */
#ifndef CONN_COMPLETE_H
#define CONN_COMPLETE_H

#include "conn.h"

/* Reaps once; returns the number of events. 0: the ring is dry and the caller may sleep. */
int complete_reap(struct shard *shard);

/* An operation that the ring has refused ends like one that failed (io_refused). */
void complete_op(struct op *op, long res);

#endif
