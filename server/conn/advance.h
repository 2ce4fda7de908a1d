/* SPDX-License-Identifier: MIT */
/*
 * What follows a step of a connection, whatever the step was: it advances or it ends. With fsm.c, whose steps
 * call these, the only writer of conn.state after conn_create(). After each of them @c may be gone.
 */
#ifndef CONN_ADVANCE_H
#define CONN_ADVANCE_H

#include "conn.h"

/* Starts what can be started, and sets the deadline that now applies. */
void conn_advance(struct conn *c);

/* Ends @c now: cancels its operations and drops the table's reference; the last completion frees it. */
void conn_end(struct conn *c, enum close_reason reason);

/* Sends what is queued, and ends @c then: FLUSH. */
void conn_flush(struct conn *c, enum close_reason reason);

/* Input has failed and set the reason. An alert of TLS is still sent. */
void conn_failed(struct conn *c);

/* Where a header of the PROXY protocol must come, another thing has come, or it has not. */
void conn_no_header(struct conn *c, enum close_reason reason, const char *why);

/* --- steps of many states; @res is the event's --- */

/* An operation has failed. */
void conn_broken(struct conn *c, long res);

/* The cancelled operation has completed, or there was none to cancel: ends @c for the cancel's reason. */
void conn_cancelled(struct conn *c, long res);

/* ON_DEADLINE, ON_STOP, ON_EVICT, ON_END: each cancels what is pending, and its completion ends @c. */
void conn_expire(struct conn *c, long res);
void conn_stop(struct conn *c, long res);
void conn_evict(struct conn *c, long res);
void conn_end_asked(struct conn *c, long res);

#endif
