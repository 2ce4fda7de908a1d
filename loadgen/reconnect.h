/* SPDX-License-Identifier: MIT */
/*
 * Decides when a lost connection is opened again. While reconnects succeed they go ahead at once, or at the
 * given rate. Once one fails they go one at a time, each after a growing delay, until a connection that was
 * opened again has received a response: however many connections wait, a server that is down or turns them
 * away sees a bounded number of attempts. Knows nothing of connections: an entry is embedded in what it
 * stands for.
 */
#ifndef RECONNECT_H
#define RECONNECT_H

#include "pace.h"

#include <stdbool.h>
#include <sys/queue.h>

/* The delay after the first failure; it doubles up to the maximum. */
#define RECONNECT_MIN_NS (10 * NS_PER_MS)
#define RECONNECT_MAX_NS (1 * NS_PER_SEC)

enum reconnect_state {
	RECONNECT_NONE,
	RECONNECT_WAITING, /* waits for its turn */
	RECONNECT_TRIAL,   /* was opened again; no response yet */
};

/* Only reconnect.c writes it. All zero is RECONNECT_NONE. */
struct reconnect_entry {
	uint8_t state;			   /* enum reconnect_state */
	TAILQ_ENTRY(reconnect_entry) link; /* WAITING */
	uint64_t delay_ns;		   /* TRIAL: reconnect.delay_ns when it began */
};

struct reconnect {
	TAILQ_HEAD(, reconnect_entry) waiting; /* the longest waiting first */
	uint32_t nwaiting;
	struct pace pace;
	uint64_t delay_ns; /* between attempts; 0: reconnects succeed */
	uint64_t next_ns;  /* with a delay: no attempt before then */
};

/* @rate: maximum attempts per second; 0: unlimited. */
void reconnect_init(struct reconnect *reconnect, unsigned int rate);

/* NONE to WAITING. */
void reconnect_add(struct reconnect *reconnect, struct reconnect_entry *entry);

/* When reconnect_take() may be called, NEVER_NS if an event has to come first. @opening: a connection is in
 * connect or handshake. */
uint64_t reconnect_take_ns(const struct reconnect *reconnect, bool opening);

/* WAITING to TRIAL: takes the entry that is to be opened now. */
struct reconnect_entry *reconnect_take(struct reconnect *reconnect, uint64_t now_ns);

/*
 * A response has arrived. TRIAL to NONE, and the delay ends unless a later trial has failed; does nothing in
 * other states.
 */
void reconnect_proved(struct reconnect *reconnect, struct reconnect_entry *entry);

/*
 * The connection has ended, or could not be established. TRIAL to NONE; does nothing in other states.
 * @failed: the trial counts as a failure.
 */
void reconnect_ended(struct reconnect *reconnect, struct reconnect_entry *entry, bool failed,
		     uint64_t now_ns);

#endif
