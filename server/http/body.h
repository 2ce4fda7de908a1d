/* SPDX-License-Identifier: MIT */
/* Request bodies. Steps return the bytes consumed, 0 for "more is needed", or -ENOMEM. */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "session.h"
#include "target.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A body larger than body-max, by its Content-Length or by the sum of its chunks. */
extern const struct http_refusal http_body_too_large;

/*
 * Queues what can precede the body in the response to POST /echo; the steps then echo the body. 0 or
 * -ENOMEM.
 */
int http_echo(struct http_session *s, const struct http_request *req, const struct http_path *path,
	      struct outq *out);
/* Sets up the steps that read the body of @req into the session's sink. */
void http_body_begin(struct http_session *s, const struct http_request *req);
ssize_t http_body_length(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_chunk_size(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_chunk_data(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_chunk_end(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_trailer(struct http_session *s, const char *data, size_t len, struct outq *out);

/* Before and after steps of the body. How fast it comes is measured only while @out has room for what becomes
 * of it. */
void http_body_pace_begin(struct http_session *s);
void http_body_pace_end(struct http_session *s, const struct outq *out);
/* Whether the body has come too slowly, by the site's now_ms. */
bool http_body_is_slow(struct http_session *s);
/* Ends the session. STEP_DONE: @why is the response; STEP_FAILED: the response has begun, or no memory. */
enum step http_body_refuse(struct http_session *s, struct outq *out, const struct http_refusal *why);

#endif
