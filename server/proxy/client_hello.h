/* SPDX-License-Identifier: MIT */
/*
 * Reads the name (SNI) in a TLS ClientHello without ending TLS: RFC 8446, 4.1.2 and 5.1; RFC 6066, 3. The
 * hello may come byte by byte, and be cut into any number of records. Pure functions.
 */
#ifndef PROXY_CLIENT_HELLO_H
#define PROXY_CLIENT_HELLO_H

#include <stddef.h>
#include <stdint.h>

/* No more bytes are taken than a session is offered, record headers included. */
#define CLIENT_HELLO_MAX (64 * 1024)

/* How far the hello is there. All zero: nothing has been seen. */
struct client_hello {
	uint32_t at;   /* where the next record begins */
	uint32_t have; /* bytes of the message in the records before that */
	uint32_t want; /* its length with its header; 0: not known yet */
};

enum client_hello_is {
	CLIENT_HELLO_SHORT,	/* so far it is one; more is needed */
	CLIENT_HELLO_WHOLE,	/* it is there, and well-formed as far as the name goes */
	CLIENT_HELLO_NOT_TLS,	/* something else */
	CLIENT_HELLO_MALFORMED, /* it claims to be one */
	CLIENT_HELLO_TOO_LONG,	/* longer than CLIENT_HELLO_MAX */
};

/* With the NUL. */
#define SERVER_NAME_LEN 256

/*
 * @data: all bytes from the first one on, of which @hello has seen some; each is looked at once until the
 * hello is whole. Then name[SERVER_NAME_LEN] is the name in lower case without a dot at its end; "" if it has
 * none, and with every other result.
 */
enum client_hello_is client_hello_read(struct client_hello *hello, const void *data, size_t len, char *name);

/* The same for a name by itself; false: it is none. */
_Bool server_name_normalize(const void *name, size_t len, char *normal);

#endif
