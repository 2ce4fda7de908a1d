/* SPDX-License-Identifier: MIT */
/* The lines of the access log about a connection and its responses. */
#ifndef CONN_ACCESS_H
#define CONN_ACCESS_H

#include "conn.h"

struct peer;

/* service_env.access_begin and access_find. */
struct access_record *conn_access_begin(struct peer *peer, const struct access_request *request);
struct access_record *conn_access_find(struct peer *peer, uint32_t number);

/* A connection to @to, for a session of @c, was begun. */
void conn_access_backend(struct conn *c, const struct sockaddr *to, socklen_t tolen);

/* What is to be sent has changed: by @grown bytes, from @at on. */
void conn_access_shift(struct conn *c, uint64_t at, int64_t grown);

/* What is to be sent is dropped. */
void conn_access_cut(struct conn *c);

void conn_access_write_sent(struct conn *c);
void conn_access_write_rest(struct conn *c);

/* Something may have been sent: logs the responses that were, as a whole. */
static inline void conn_access_sent(struct conn *c)
{
	if (!STAILQ_EMPTY(&c->records))
		conn_access_write_sent(c);
}

/* It ends: logs it, or the responses that were not sent as a whole. Before its session is told. */
static inline void conn_access_end(struct conn *c)
{
	if (c->shard->access || !STAILQ_EMPTY(&c->records))
		conn_access_write_rest(c);
}

#endif
