/* SPDX-License-Identifier: MIT */
/* The connection as a session of a service sees it. Opaque: a session holds it from open() to close(). */
#ifndef CONN_PEER_H
#define CONN_PEER_H

struct peer;

/*
 * Called when what the session waited for (STEP_BLOCKED) has happened, or it has output: input() is called
 * again, possibly with no bytes, and eof() too if the peer has ended its side. Call it from the event loop or
 * the completion of an operation, never from one of the session's own functions.
 */
void peer_resume(struct peer *peer);

#endif
