/* SPDX-License-Identifier: MIT */
/*
 * Where an HTTP/1.x response to a GET ends (RFC 9112 section 6), however its bytes are split into reads.
 * Strict: what is ambiguous is an error, so that a miscounted body can never pass as the next response. Knows
 * no connection.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a line that arrives in pieces this much is kept: more than any header that matters needs. */
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

/* Consumes up to @len bytes, stops after the response's last; returns how many. See state for the outcome. */
size_t http_response_input(struct http_response *response, const char *data, size_t len);

/* The connection has ended: true if the response is complete by that. */
bool http_response_eof(const struct http_response *response);

#endif
