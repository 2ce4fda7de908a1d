/* SPDX-License-Identifier: MIT */
/*
 * The connections of one listener in one worker, with those that they open: what bounds them, and the lists
 * in which their deadlines wait. A reload that changes what the listener serves leaves it as it is, so that
 * new limits reach connections that go on with what was served before.
 *
 * References: the acceptor's, and one of each connection. Dropping the last frees it.
 */
#ifndef CONN_GROUP_H
#define CONN_GROUP_H

#include "server/limits.h"
#include "shard.h"

#define CONN_GROUP_WHERE_LEN 160

struct conn_group {
	LIST_ENTRY(conn_group) link; /* in shard->groups */
	struct limits limits;	     /* deadline_set_limits() changes them */
	bool is_changed;	     /* deadline_rearm() is to follow */
	/* Deadlines: all in one list wait for the same time, so that appending keeps it sorted. deadline.c's.
	 */
	struct conn_queue deadlines[DEADLINE_NCLASSES];
	unsigned int naccepted; /* connections that are not outgoing */
	char where[CONN_GROUP_WHERE_LEN]; /* the listener's address, for whoever watches */
	unsigned int refs;
};

/* On success the reference is the caller's, on failure NULL: no memory. */
struct conn_group *conn_group_create(struct shard *shard, const struct limits *limits);
struct conn_group *conn_group_get(struct conn_group *group);
void conn_group_put(struct conn_group *group);

#endif
