/* SPDX-License-Identifier: MIT */
/*
 * A text of which each worker writes a part, because it alone may look at its connections, or end one. One
 * worker asks, at its desk; every worker that is asked finds a part at its own and fills it in; and when the
 * last one has, the text is back at the desk of the worker that asked. Nobody waits: desks wake their
 * workers' loops.
 */
#ifndef ROSTER_H
#define ROSTER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct roster;
struct roster_part;
STAILQ_HEAD(roster_parts, roster_part);
STAILQ_HEAD(rosters, roster);

/* What a list has first, of which it is to have few: the newest connections, the oldest, ... */
#define ROSTER_ORDERS(X)                                                                                     \
	X(NEWEST, newest)                                                                                    \
	X(AGE, age)                                                                                          \
	X(IDLE, idle)                                                                                        \
	X(BYTES, bytes)                                                                                      \
	X(WAITS, waits) /* those whose output is under way for the longest time */

enum roster_order {
#define ROSTER_ORDER_ENUM(NAME, name) ROSTER_##NAME,
	ROSTER_ORDERS(ROSTER_ORDER_ENUM)
#undef ROSTER_ORDER_ENUM
		ROSTER_NORDERS
};

struct roster_question {
	uint64_t ends;	     /* the id of the connection that is to end; 0: connections are to be listed */
	unsigned int worker; /* whose it is */
	/* Of a list. */
	enum roster_order order;
	unsigned int most; /* connections of each worker */
};

/* A worker's. */
struct roster_desk {
	pthread_mutex_t lock;	   /* of the two lists and closed */
	struct roster_parts asked; /* to be filled in here */
	struct rosters whole;	   /* asked from here, and complete */
	bool closed;
	void (*wake)(void *arg); /* on any thread, with the lock held */
	void *arg;
};

/* The desks of all workers. Does not change while they run. */
struct roster_room {
	struct roster_desk **desks;
	unsigned int n;
};

void roster_desk_init(struct roster_desk *desk, void (*wake)(void *arg), void *arg);
/* Nothing comes to the worker any more; what has come is still to be filled in. */
void roster_desk_close(struct roster_desk *desk);
/* After all workers have ended. */
void roster_desk_fini(struct roster_desk *desk);

/*
 * Asks every desk of @room; for the end of a connection that of its worker, which must be one of @room.
 * Once the text is whole, roster_deliver(@from) calls @done, on the asking thread.
 * NULL: no memory.
 */
struct roster *roster_ask(const struct roster_room *room, const struct roster_question *question,
			  struct roster_desk *from, void (*done)(void *arg), void *arg);
/* On the asking thread: the text is of no more use, whole or not; @done is not called any more. */
void roster_free(struct roster *roster);

/* What was asked; how many workers there are, and the part of worker @i in a text that is whole: *len bytes,
 * or NULL, none. */
const struct roster_question *roster_question(const struct roster *roster);
unsigned int roster_size(const struct roster *roster);
const char *roster_text(const struct roster *roster, unsigned int i, size_t *len);

/* The next part to fill in at @desk, or NULL. */
struct roster_part *roster_next(struct roster_desk *desk);
const struct roster_question *roster_part_question(const struct roster_part *part);
/* @text, which free(3) will free, or NULL: this worker has nothing to say. */
void roster_fill(struct roster_part *part, char *text, size_t len);

/* Calls the @done of each text that is whole. */
void roster_deliver(struct roster_desk *desk);

#endif
