/* SPDX-License-Identifier: MIT */
/*
 * The step of a TLS handshake that a thread of the crew carries out, off the loop. From shake_start() until
 * shake_take() returns it the thread has the connection's session and input; no operation is in flight. Like
 * an operation, the step holds a reference on its connection, which may be CLOSING when it comes back.
 */
#ifndef CONN_SHAKE_H
#define CONN_SHAKE_H

#include "conn.h"

/*
 * As many as a worker lets wait before it accepts nothing more that wants one: a fraction of a second's, or
 * with large RSA keys a second's, so that those which have come are over in time.
 */
#define SHAKES_MAX 256

/* Whether the next step of the handshake is for a thread: one without input costs little. */
bool shake_is_wanted(const struct conn *c);

/* False: no memory. */
bool shake_start(struct conn *c);

/* @c ends: what no thread has begun is not done any more. Does nothing if there is no step under way. */
void shake_cancel(struct conn *c);

/*
 * The next connection whose step has been carried out, the loop's again, with the step's result, and with the
 * step's reference, which is now the caller's. NULL: there is none.
 */
struct conn *shake_take(struct shard *shard, enum step *step);

#endif
