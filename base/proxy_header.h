/* SPDX-License-Identifier: MIT */
/*
 * The header of the PROXY protocol, versions 1 and 2, as it is written and as it is read. Pure functions; the
 * sections named are those of haproxy's doc/proxy-protocol.txt.
 */
#ifndef PROXY_HEADER_H
#define PROXY_HEADER_H

#include "addr.h"
#include "step.h"

#include <stdbool.h>
#include <stddef.h>

/* Of a client that speaks TLS; "" or NULL is left out. */
struct proxy_tls {
	const char *version, *cipher;
	const char *client_name; /* the common name of its certificate */
	bool has_cert;		 /* it has one, which was verified */
	bool is_resumed;	 /* and that was in the session before */
};

/*
 * Who has connected to whom. Unless both are IPv4 or both IPv6, it is written as unknown (UNKNOWN, LOCAL).
 * What one says that was read as unknown is not known: the addresses are those of the connection itself, and
 * here AF_UNSPEC.
 */
struct proxy_header {
	union addr source, destination;
	/* Only of what is written in version 2, and not as unknown. "" or NULL is left out. */
	const char *alpn, *authority;
	const struct proxy_tls *tls; /* NULL: plain */
};

/* Writes it to text[size], which holds PROXY_HEADER_MAX or more; returns its length. */
#define PROXY_HEADER_MAX 1024
size_t proxy_header_write(const struct proxy_header *header, bool is_v2, char *text, size_t size);

/* What is read may be no longer, as most of it would be what nobody here asks for. */
#define PROXY_HEADER_READ_MAX 4096

/*
 * Reads what a stream begins with, from its first byte each time more has arrived.
 *
 *	STEP_DONE	it is *used bytes long
 *	STEP_MORE	so far it is one
 *	STEP_FAILED	it is none, and *why says what is wrong
 */
enum step proxy_header_read(struct proxy_header *header, const char *data, size_t len, size_t *used,
			    const char **why);

#endif
