/* SPDX-License-Identifier: MIT */
/*
 * Response heads and short text responses. All functions return 0 or -ENOMEM, after which the connection is
 * aborted.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "refusal.h"
#include "session.h"

#include <stddef.h>
#include <stdint.h>

/* Maximum length of the header lines of a text response; a Location is the longest. */
#define HTTP_LINES_MAX (16 * 1024 - 256)

/*
 * Appends the head of a final response: status line, Server, Date, @lines (each ended by CRLF), Connection if
 * necessary, and the empty line. Keeps room for @room bytes of body behind it.
 */
int http_response_head(struct http_session *s, struct outq *out, unsigned int status, const char *lines,
		       size_t len, uint64_t room);
/*
 * Appends a whole response with a text body, which is left out for HEAD. @lines are additional header lines,
 * up to HTTP_LINES_MAX bytes.
 */
int http_response_text(struct http_session *s, struct outq *out, unsigned int status, const char *lines,
		       const char *text);
/* An error response whose text is its status line. */
int http_response_status(struct http_session *s, struct outq *out, unsigned int status, const char *lines);
/*
 * Counts a refused request and responds to it, unless the head of a response is in the queue already: then no
 * other can follow. The connection ends unless it is 403 or 404.
 */
int http_refuse(struct http_session *s, struct outq *out, const struct http_refusal *why);
/* 100 (Continue). */
int http_response_continue(struct http_session *s, struct outq *out);

#endif
