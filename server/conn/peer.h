/* SPDX-License-Identifier: MIT */
/* The connection as a session of a service sees it. Opaque: a session holds it from open() to close(). */
#ifndef CONN_PEER_H
#define CONN_PEER_H

struct peer;

/*
 * Call it when what the session waited for (STEP_BLOCKED) has happened, or when it has output: input() is
 * called again, possibly with no bytes, and eof() too if the peer has ended its side. During a handshake this
 * is put off until the handshake is done. The session may be closed, and gone, when this returns. Call it
 * from the event loop, never from inside a function of a session, be it another's.
 */
void peer_resume(struct peer *peer);

#endif
