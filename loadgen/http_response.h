/* SPDX-License-Identifier: MIT */
/*
 * Finds the end of an HTTP/1.x response to a GET (RFC 9112 section 6), however its bytes are split into
 * reads. Strict: anything ambiguous is an error, so that part of a body never passes as the next response.
 * Knows nothing of connections.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How much is kept of a line that arrives in pieces: more than any header that matters needs. */
#define HTTP_LINE_KEPT 88

enum http_state {
	HTTP_STATUS_LINE,
	HTTP_HEADERS,
	HTTP_BODY, /* left bytes of a Content-Length body */
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_END, /* the empty line after a chunk's data */
	HTTP_TRAILERS,
	HTTP_UNTIL_EOF,
	HTTP_COMPLETE,
	HTTP_MALFORMED,
};

struct http_response {
	uint64_t left; /* HTTP_BODY, HTTP_CHUNK_DATA */
	uint16_t status;
	uint8_t state;				     /* enum http_state */
	bool chunked : 1, has_length : 1, close : 1; /* close: the connection ends after this response */
	bool kept_all : 1;			     /* the line in pieces fits so far */
	uint8_t kept;				     /* bytes of line[] */
	char line[HTTP_LINE_KEPT];
};

void http_response_init(struct http_response *response);

/* Consumes up to @len bytes, but none after the end of the response; returns how many. The outcome is in
 * state. */
size_t http_response_input(struct http_response *response, const char *data, size_t len);

/* The connection has ended: returns true if that completes the response. */
bool http_response_eof(const struct http_response *response);

#endif
