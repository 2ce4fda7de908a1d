/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of connections. Each class has one timeout, so its list is ordered by itself and re-arming is
 * O(1): off the list, onto its tail. A connection has one deadline at a time.
 */
#ifndef CONN_DEADLINE_H
#define CONN_DEADLINE_H

#include "conn.h"

void idle_init(struct shard *shard);

/* From now on @class counts, from now_us. DEADLINE_NONE, or a class without timeout: none. */
void idle_arm(struct conn *c, enum deadline_class class);

/* The same, unless @class is what counts already: bytes do not postpone it. */
void idle_keep(struct conn *c, enum deadline_class class);

typedef void idle_expired(struct conn *c);

/* Takes off the list and hands over whatever is due in @class; returns the next deadline, 0 if there is none.
 */
uint64_t idle_expire(struct shard *shard, enum deadline_class class, idle_expired *expired);

/* The connection that has been idle the longest, or NULL. */
struct conn *idle_oldest(struct shard *shard);

#endif
