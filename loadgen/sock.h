/* SPDX-License-Identifier: MIT */
/*
 * The seam at which plain and TLS connections differ: between the bytes of the wire (conn->in, conn_write())
 * and those of the protocol (conn_input(), send()). One transport for a whole run.
 */
#ifndef SOCK_H
#define SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct net;
struct settings;
struct tls_info;

struct sock {
	const char *name;
	bool is_tls;
	uint32_t in_cap; /* the smallest useful size for a connection's read buffer; 0: any */

	/* Creates what all connections share (net->sock_data). 0, or -errno with why[WHY_LEN]. */
	int (*open)(struct net *net, const struct settings *set, char *why);
	void (*close)(struct net *net);
	/* What the first connection negotiated, or NULL: nothing yet, or not TLS. */
	const struct tls_info *(*info)(const struct net *net);

	/* The TCP connection exists. Ends in conn_established() or conn_fail(). */
	void (*start)(struct conn *conn);
	/* conn->in[0..in_len) has grown. Leaves what it did not consume at the front. */
	void (*input)(struct conn *conn);
	/* Sends protocol bytes; @data stays until they are sent. One call at a time. */
	void (*send)(struct conn *conn, const char *data, size_t len);
	/* The last conn_write() is done. */
	void (*written)(struct conn *conn);
	/* Nothing more will be sent: ends in conn_shutdown(). */
	void (*finish)(struct conn *conn);
	/* Frees what start() made, if it was called. */
	void (*stop)(struct conn *conn);
	/* Frees what outlives a connection on its slot. */
	void (*forget)(struct conn *conn);
};

extern const struct sock sock_plain;
extern const struct sock sock_tls;

#endif
