/* SPDX-License-Identifier: MIT */
/* The connection as a session of a service sees it. Opaque: a session holds it from open() to close(). */
#ifndef CONN_PEER_H
#define CONN_PEER_H

#include "base/addr.h"
#include "server/reason.h"

#include <stdbool.h>

struct conn_group;
struct endpoint;
struct outq;
struct peer;
struct shard;
struct tally;
struct tls_info;
struct tls_ticket;

/*
 * Call it when what the session waited for (STEP_BLOCKED) has happened, or when it has output: input() is
 * called again, possibly with no bytes, and eof() too if the peer has ended its side. During a handshake this
 * is put off until the handshake is done. The session may be closed, and gone, when this returns. Call it
 * from the event loop, never from inside a function of a session, be it another's.
 */
void peer_resume(struct peer *peer);

/* --- for sessions that come in pairs: these may be called from inside a session's functions --- */

/*
 * Opens a connection to @to, served by @endpoint, on the worker of @peer. Its session's input() is called
 * without bytes once it is made, or else its ended(). 0, or -errno of socket(2), connect(2) and
 * conn_create(): there is none then.
 */
int peer_connect(struct peer **opened, struct peer *peer, struct endpoint *endpoint,
		 const struct sockaddr *to, socklen_t tolen);

/* The same for a connection without a pair, from the event loop. -ESHUTDOWN: the server drains. */
int peer_open(struct peer **opened, struct shard *shard, struct conn_group *group, struct endpoint *endpoint,
	      const struct sockaddr *to, socklen_t tolen);

/* What is counted of it is counted there, too; right after peer_connect(). */
void peer_set_tally(struct peer *peer, struct tally *tally);

/* Before it is made: resumes the session of @ticket, if it has TLS, and that of the same context. */
void peer_tls_resume(struct peer *peer, struct tls_ticket *ticket);
/* The newest ticket for the next (tls_ticket_get()); NULL: there is none, or no TLS. */
struct tls_ticket *peer_tls_ticket(struct peer *peer);

/* The session of a connection, for its pair. */
void *peer_session(struct peer *peer);

/* peer_resume(), once what is under way has returned. */
void peer_wake(struct peer *peer);

/* How many bytes may be appended to what is to be sent to it, and appending: 0 or -ENOMEM. */
size_t peer_room(const struct peer *peer);
int peer_append(struct peer *peer, const char *data, size_t len);

/* Nothing more will be appended: the sending side is closed behind what is queued. Input goes on. */
void peer_finish(struct peer *peer);

/*
 * Ends the connection once what is under way has returned, by cancelling what it waits for. CLOSE_RESET: its
 * peer gets a reset, too.
 */
void peer_end(struct peer *peer, enum close_reason reason);

/* Why it is about to end; the first reason counts. */
void peer_set_reason(struct peer *peer, enum close_reason reason);

/* The -errno that has ended it, 0 if none has. */
int peer_error(const struct peer *peer);

/* What has ended it, in words. */
const char *peer_why(const struct peer *peer, enum close_reason reason);

/* Where it comes from, or where it leads. By way of a proxy that says so, these are the client's. */
const union addr *peer_addr(const struct peer *peer);
/* Our end of it, or what the client has connected to. 0 or -errno of getsockname(2). */
int peer_local_addr(const struct peer *peer, union addr *addr);

/* Its TLS, once the handshake is over. False: it is plain. */
bool peer_tls(const struct peer *peer, struct tls_info *info);

#endif
