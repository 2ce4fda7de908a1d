/* SPDX-License-Identifier: MIT */
/*
 * The seam at which plain and TLS connections differ: between the bytes of the wire (conn->in, conn_write())
 * and those of the protocol (conn_input(), send()). One for the whole run. Loop thread only.
 */
#ifndef SOCK_H
#define SOCK_H

#include <stddef.h>

struct conn;

struct sock {
	const char *name;

	/* The TCP connection is there. Ends in conn_established() or conn_fail(). */
	void (*start)(struct conn *conn);
	/* conn->in[0..in_len) has grown. Leaves what it did not consume at its front. */
	void (*input)(struct conn *conn);
	/* Sends protocol bytes; @data stays until they are sent. One at a time. */
	void (*send)(struct conn *conn, const char *data, size_t len);
	/* The last conn_write() is done. */
	void (*written)(struct conn *conn);
	/* No more will be sent: ends in conn_shutdown(). */
	void (*finish)(struct conn *conn);
	/* Frees what start() made. */
	void (*stop)(struct conn *conn);
};

extern const struct sock sock_plain;
extern const struct sock sock_tls;

struct run;
void sock_tls_free_buffers(struct run *run);

#endif
