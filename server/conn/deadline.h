/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of connections: which one applies when, and what postpones it. A connection has one deadline at a
 * time. Listeners may have timeouts of their own, so each group of connections (group.h) has a list for each
 * class: all in it wait for the same time, so appending keeps it sorted, and arming is O(1). Finding what has
 * expired in a class looks at the first of each group. Beside its deadline, a request under way has the
 * limits of its service, and output may have a minimum rate.
 */
#ifndef CONN_DEADLINE_H
#define CONN_DEADLINE_H

#include "conn.h"

/*
 * Of a connection whose request has limits, or whose output has a minimum rate: it is looked at now and then.
 * Few have one at a time.
 */
struct watch {
	TAILQ_ENTRY(watch) link; /* in shard->watched */
	struct conn *conn;
	uint64_t look_us;  /* the next look */
	uint64_t since_us; /* how fast the peer takes output is judged one window at a time; 0: none has begun
			    */
	uint64_t taken;	   /* what was, before the window */
	bool is_late; /* a look found the request late, and bytes that were not read yet: the next decides */
};

void deadline_init(struct shard *shard);

/*
 * Called last in every step that leaves @c open: arms the deadline that now applies, from now_us. A deadline
 * that already applied stays as it is, unless what has moved postpones it.
 */
void deadline_update(struct conn *c);

void deadline_clear(struct conn *c);

/*
 * Does the passed deadline of @reason, or the broken limit, still apply to @c, although an operation
 * completed before its cancel?
 */
bool deadline_holds(struct conn *c, enum close_reason reason);

typedef void deadline_expired(struct conn *c, enum close_reason reason);

/*
 * Removes each connection that is due in @class and calls @expired; returns the next deadline, or 0 for
 * none. That is the earliest until shard->soonest_us says that another has come before it.
 */
uint64_t deadline_expire(struct shard *shard, enum deadline_class class, deadline_expired *expired);

/*
 * The same for those limits, and for deadlines that have passed while bytes were to be read first. The next
 * look is never before one that was announced.
 */
uint64_t deadline_look(struct shard *shard, deadline_expired *expired);
uint64_t deadline_next_look(const struct shard *shard);

/* Gives @group other limits. Its connections have them once deadline_rearm() is called. */
void deadline_set_limits(struct conn_group *group, const struct limits *limits);

/* Arms the deadline of every waiting connection whose group's limits have changed, from now_us. */
void deadline_rearm(struct shard *shard);

/* The connection that has been idle the longest, of all or of @group; or NULL. */
struct conn *deadline_most_idle(const struct shard *shard);
struct conn *deadline_most_idle_of(const struct conn_group *group);

#endif
