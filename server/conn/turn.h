/* SPDX-License-Identifier: MIT */
/*
 * The ring's side of a worker's turn: submits what was started, and turns what has completed into events of
 * connections. Only this file takes operations out of flight.
 */
#ifndef CONN_TURN_H
#define CONN_TURN_H

#include "shard.h"

/* Resumes, or ends, the connections for which sessions have asked it. Before turn_submit(). */
void turn_wake(struct shard *shard);

/* Submits what was started. What the ring has no room for stays for the next turn. */
void turn_submit(struct shard *shard);

/* Reaps once; returns the number of events. 0: nothing has completed, and the caller may sleep. */
int turn_reap(struct shard *shard);

/* Takes back what threads have carried out; likewise. */
int turn_take(struct shard *shard);

#endif
