/* SPDX-License-Identifier: MIT */
/* The way of bytes from the network, through TLS where there is any, to the service. */
#ifndef CONN_INPUT_H
#define CONN_INPUT_H

#include "conn.h"

/* Starts the next read, unless one is under way or none is wanted. False: no memory. */
bool input_start(struct conn *c);

/* @n bytes have arrived. */
void input_received(struct conn *c, size_t n);

/* What has arrived is dropped. */
void input_drop(struct conn *c);

/* Runs the handshake on what was received. STEP_DONE: it is complete. STEP_FAILED: the close reason is set.
 */
enum step input_handshake(struct conn *c);

/*
 * Offers the service what there is: to be called after input_received(), or once what blocked is over.
 *
 *	STEP_MORE	read on
 *	STEP_BLOCKED	output is above its mark, or the service waits
 *	STEP_DONE	the service wants no more
 *	STEP_CLOSED	TLS: the peer has ended its side
 *	STEP_FAILED	the close reason is set
 */
enum step input_feed(struct conn *c);

/*
 * The session asks to be called: the same, at least once. While a read is under way, whose buffer must not
 * move, nothing is offered.
 */
enum step input_resume(struct conn *c);

/* Bytes that the service has left. */
size_t input_left(const struct conn *c);

#endif
