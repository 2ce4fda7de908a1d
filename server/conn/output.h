/* SPDX-License-Identifier: MIT */
/*
 * The path of bytes from the output queue, through TLS if the connection has it, to the network: which
 * operation comes next, and what its completion means for the queue.
 */
#ifndef CONN_OUTPUT_H
#define CONN_OUTPUT_H

#include "conn.h"

/*
 * Starts the next output operation, a write or the read of a file, unless one is under way.
 *
 *	STEP_BLOCKED	one is under way
 *	STEP_DONE	all is sent
 *	STEP_FAILED	the close reason is set
 */
enum step output_start(struct conn *c);

/* A write has moved @n bytes. */
void output_sent(struct conn *c, size_t n);

/*
 * The read of a file has brought @n bytes; or it has failed: @err is -errno, or 0 at the file's end. If the
 * file is no longer what the response's head describes, and none of that was sent, the service responds anew.
 *
 *	STEP_DONE	output goes on
 *	STEP_BLOCKED	it cannot: the head was sent, the rest of the file is lost
 *	STEP_FAILED	the close reason is set
 */
enum step output_filled(struct conn *c, size_t n);
enum step output_unfilled(struct conn *c, int err);

/* The name of the file whose read is under way or has just completed. */
const char *output_file(const struct conn *c);

/* TLS: puts close_notify behind what was sent, once. True if there is something to send now. */
bool output_end(struct conn *c);

/*
 * Appends what another connection has received; under TLS it may be encrypted at once. Sent by
 * output_start(). 0 or -ENOMEM.
 */
int output_append(struct conn *c, const char *data, size_t len);

/* Drops what the queue holds; what a file is being read into stays until the read has ended. */
void output_drop(struct conn *c);

#endif
