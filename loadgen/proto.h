/* SPDX-License-Identifier: MIT */
/*
 * A kind of request: how it is asked on a connection and how the end of its answer is recognised. It sees
 * plain bytes; one request at a time is outstanding on a connection. Loop thread only.
 */
#ifndef PROTO_H
#define PROTO_H

#include <stddef.h>

struct conn;
struct run;

enum answer {
	ANSWER_MORE, /* not complete yet */
	ANSWER_DONE, /* complete; all bytes were its own */
	ANSWER_BAD,  /* wrong; conn->bad says how. The connection is of no more use */
};

struct proto {
	const char *name;
	const char *alpn; /* offered under TLS, or NULL */

	/* Builds what all requests share (run->proto_data). 0, or -errno with why. */
	int (*open)(struct run *run, char *why);
	void (*close)(struct run *run);

	/* Sends one request by conn_send(). */
	void (*ask)(struct conn *conn);
	enum answer (*input)(struct conn *conn, const char *data, size_t len);
	/* The peer has sent its last byte while an answer was outstanding. NULL: that is an error. */
	enum answer (*eof)(struct conn *conn);
};

extern const struct proto proto_echo;
extern const struct proto proto_http;

#endif
