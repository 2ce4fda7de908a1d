/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of connections: which one counts when, and what postpones it. A connection has one deadline at a
 * time. Each class has one timeout, so its list is ordered by itself and arming is O(1): off the list, onto
 * its tail.
 */
#ifndef CONN_DEADLINE_H
#define CONN_DEADLINE_H

#include "conn.h"

void deadline_init(struct shard *shard);

/*
 * The last thing of every step that leaves @c open: the deadline that now counts, from now_us. One that
 * counted before goes on, unless what has moved postpones it.
 */
void deadline_update(struct conn *c);

void deadline_clear(struct conn *c);

/* The close reason of a class whose time is over. */
enum close_reason deadline_reason(enum deadline_class class);

/* Whether @c still has the deadline of @reason that has passed, although an operation won against its cancel.
 */
bool deadline_holds(const struct conn *c, enum close_reason reason);

typedef void deadline_expired(struct conn *c, enum deadline_class class);

/* Takes off the list and hands over whatever is due in @class; returns the next deadline, 0 if there is none.
 */
uint64_t deadline_expire(struct shard *shard, enum deadline_class class, deadline_expired *expired);

/* The timeouts have changed: everything that waits gets its deadline anew, from now_us. */
void deadline_rearm(struct shard *shard);

/* The connection that has been idle the longest, or NULL. */
struct conn *deadline_most_idle(struct shard *shard);

#endif
