/* SPDX-License-Identifier: MIT */
/*
 * How a race is forced: a gate lets two threads go together, and a head start for one of them is steered
 * after each round towards the point where the outcome tips over.
 */
#ifndef TAIO_CASE_GATE_H
#define TAIO_CASE_GATE_H

#include "tests/case/check.h"

#include <pthread.h>
#include <stdint.h>

struct scene;

/* The peer's thread runs one step a round, published by @go. */
struct gate {
	_Atomic long go;	 /* round that may run */
	_Atomic long done;	 /* round that has run */
	_Atomic long head_start; /* of the peer, in turns of spin(); negative: of the case's thread */
	long rounds;
	void (*step)(struct gate *gate, long round);
	struct scene *s;
	uint64_t nbytes; /* step's own count; the case may look at it when the round is done */
	void *arg;	 /* likewise */
	bool is_pinned;	 /* each thread to a processor of its own; threads that it makes then stay with it */
	pthread_t thread;
};

/* Busy waiting, which yields now and then: on two processors helpers need one of ours. */
void spin(long turns);
void gate_start(struct gate *gate);
/* Lets the peer go; returns when its head start is over. */
void gate_open(struct gate *gate, long round, long head_start);
/* Waits until the peer's step of the round is done. */
void gate_pass(struct gate *gate, long round);
void gate_join(struct gate *gate);

/* How often each outcome must be seen, or it was not a race. */
#define OUTCOMES_MIN 10

struct outcomes {
	long delivered, cancelled;
	long late; /* of the delivered: cancel had said that it would try */
};

/*
 * Moves the head start towards the tipping point: faster the longer the outcome stays the same, and further
 * as long as one outcome has not been seen.
 */
struct steer {
	long head_start;
	long seen[2]; /* rounds that the peer has lost, and won */
	int run;
	bool last;
	bool is_wide; /* search further: what races with the peer may have to wake up first */
};

void steer_to(struct steer *steer, bool peer_won);

#endif
