/* SPDX-License-Identifier: MIT */
/*
 * The ring's side of a worker's turn: what was started goes in, what has completed comes out and becomes an
 * event of its connection. The one place that takes operations out of flight.
 */
#ifndef CONN_TURN_H
#define CONN_TURN_H

#include "shard.h"

/* Gives the ring what was started. What it has no room for stays for the next turn. */
void turn_submit(struct shard *shard);

/* Reaps once; returns the number of events. 0: nothing has completed, and the caller may sleep. */
int turn_reap(struct shard *shard);

#endif
