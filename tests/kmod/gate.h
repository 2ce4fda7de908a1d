/* SPDX-License-Identifier: MIT */
/*
 * How a race is forced: a gate lets two threads, each on a processor of its own, go together, and a head
 * start for one of them is steered after each round towards the point where the outcome tips over.
 */
#ifndef TAIO_TESTS_KMOD_GATE_H
#define TAIO_TESTS_KMOD_GATE_H

#include "kmod.h"

#include <pthread.h>

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
	pthread_t thread;
};

void spin(long turns);
/* Also pins the caller; the peer gets another processor. */
void gate_start(struct gate *gate);
/* Lets the peer go; returns when its head start is over. */
void gate_open(struct gate *gate, long round, long head_start);
/* Until the peer's step of the round is done. */
void gate_pass(struct gate *gate, long round);
void gate_join(struct gate *gate);

/*
 * Moves the head start towards the tipping point: faster the longer the outcome has stayed the same, and
 * further as long as one of them is still to be seen.
 */
struct steer {
	long head_start;
	long seen[2]; /* rounds that the peer has lost, and won */
	int run;
	bool last;
};

void steer_to(struct steer *steer, bool peer_won);

#endif
