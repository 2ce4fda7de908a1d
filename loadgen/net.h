/* SPDX-License-Identifier: MIT */
/*
 * What the connections of a run share: how they reach the target, which protocol they speak, whose callbacks
 * they call, and where events are counted. setup.c fills it; a comment names the file that writes a field
 * later.
 */
#ifndef NET_H
#define NET_H

#include "ops.h"
#include "stats.h"
#include "target.h"
#include "timers.h"

struct conn;
struct conn_callbacks;
struct proto;
struct sock;

/* Which events of connections are counted. */
enum net_counting {
	COUNT_ERRORS,  /* errors, but no bytes: outside the measured interval */
	COUNT_ALL,     /* errors and bytes */
	COUNT_NOTHING, /* the connections are only being closed */
};

TAILQ_HEAD(conn_queue, conn);

struct net {
	struct ops ops;
	struct target target;
	const struct sock *sock;
	void *sock_data;
	const struct proto *proto; /* NULL: nothing is requested */
	void *proto_data;
	const struct conn_callbacks *callbacks;
	struct stats *stats;
	enum net_counting counting; /* phase.c */
	uint32_t in_cap;	    /* bytes of a connection's read buffer */
	uint64_t now_ns;	    /* loop.c: when this turn's events were reaped */

	/* Written by conn.c. */
	struct timers timeouts;
	struct conn_queue drained; /* dropped, with no operation left: conn_close() is due */
	uint32_t opening;	   /* in CONNECT or HANDSHAKE */
	uint32_t live;		   /* not in NONE */
	unsigned int source;	   /* plain loopback target: 127.0.0.(1 + source) */
};

#endif
