/* SPDX-License-Identifier: MIT */
/*
 * What to do next about a connection's output: send a span, or read a piece of a file first. Decides and
 * keeps account; conn_fsm.c starts the operation.
 */
#ifndef CONN_OUTPUT_H
#define CONN_OUTPUT_H

#include "conn.h"

enum out_next {
	OUT_NOTHING,   /* all is sent */
	OUT_WRITE,     /* write data[len] to the socket, then out_sent() */
	OUT_READ_FILE, /* read len bytes of afd at offset to data, then out_filled() */
	OUT_NO_MEMORY,
	OUT_TLS_FAILED,
};

struct out_op {
	char *data;
	size_t len;
	int afd;
	uint64_t offset;
};

enum out_next out_next(struct conn *c, struct out_op *op);
void out_sent(struct conn *c, size_t n);
void out_filled(struct conn *c, size_t n);

/* TLS: puts close_notify behind what was sent. True if there is something to send now. */
bool out_close_tls(struct conn *c);

/* Nothing more will be sent. */
void out_drop(struct conn *c);

#endif
