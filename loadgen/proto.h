/* SPDX-License-Identifier: MIT */
/*
 * A protocol: how a request is sent on a connection and how the end of its response is recognised. It sees
 * plain bytes; at most one request is outstanding on a connection.
 */
#ifndef PROTO_H
#define PROTO_H

#include "base/step.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct net;
struct settings;

/* Every protocol, in the order in which --help lists them. proto_NAME is defined in proto_NAME.c. */
// clang-format off
#define PROTOS(X) \
	X(echo)  \
	X(http)
// clang-format on

struct proto {
	const char *name;
	const char *alpn; /* offered under TLS, or NULL */
	bool is_of_url;	  /* the default if the target is a URL */
	bool keeps_alive; /* the server may close a connection between requests, as in HTTP */
	size_t conn_size; /* of its state per connection (conn->proto_state) */

	/* A useful size for the read buffer of a connection. */
	uint64_t (*in_cap)(const struct settings *set);
	/* Builds what all requests share (net->proto_data). 0, or -errno with why[WHY_LEN]. */
	int (*open)(struct net *net, const struct settings *set, char *why);
	void (*close)(struct net *net);

	/* Sends one request with conn_send(). */
	void (*request)(struct conn *conn);
	/*
	 * STEP_MORE: the response is not complete yet. STEP_DONE: it is, and all bytes belonged to it.
	 * STEP_FAILED: it is wrong, conn->failure says how, and the connection cannot be used any further.
	 */
	enum step (*input)(struct conn *conn, const char *data, size_t len);
	/*
	 * The peer sent its last byte while a response was outstanding. STEP_FAILED: that is an error, and
	 * conn->failure, which says which, was set by the caller. NULL: it always is.
	 */
	enum step (*eof)(struct conn *conn);
};

#define PROTO_DECLARE(name) extern const struct proto proto_##name;
PROTOS(PROTO_DECLARE)
#undef PROTO_DECLARE

#endif
