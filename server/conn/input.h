/* SPDX-License-Identifier: MIT */
/* The path of bytes from the network, through TLS if the connection has it, to the service. */
#ifndef CONN_INPUT_H
#define CONN_INPUT_H

#include "conn.h"

/* Starts the next read, unless one is under way or none is wanted. False: no memory. */
bool input_start(struct conn *c);

/* @n bytes have arrived. */
void input_received(struct conn *c, size_t n);

/* Drops what has arrived. */
void input_drop(struct conn *c);

/*
 * Runs the handshake on what was received. STEP_DONE: it is complete. STEP_FAILED: the close reason is set.
 */
enum step input_handshake(struct conn *c);

/*
 * Offers the service what has arrived. Called after input_received(), or once what blocked it is over. While
 * a read is under way, whose buffer must not move, nothing is offered, but the session is called.
 *
 *	STEP_MORE	read on
 *	STEP_BLOCKED	output is above its high-water mark, or the service waits
 *	STEP_DONE	the service wants no more
 *	STEP_CLOSED	TLS: the peer has ended its side
 *	STEP_FAILED	the close reason is set
 */
enum step input_feed(struct conn *c);

/* The session asked to be called: does the same, and calls the session in any case, perhaps with nothing. */
enum step input_resume(struct conn *c);

/*
 * The session has begun: the same, but it is called without bytes before it is called with those that have
 * arrived.
 */
enum step input_begin(struct conn *c);

/* Nothing has arrived that was not taken. */
bool input_is_empty(const struct conn *c);

/* Bytes that the service has not consumed. */
size_t input_left(const struct conn *c);

#endif
