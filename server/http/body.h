/* SPDX-License-Identifier: MIT */
/* Request bodies. Steps return the bytes consumed, 0 for "more is needed", or -ENOMEM. */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "session.h"

#include <stddef.h>
#include <sys/types.h>

/* A body larger than body-max, by its Content-Length or by the sum of its chunks. */
extern const struct http_refusal http_body_too_large;

/*
 * Queues what can precede the body in the response to POST /echo; the steps then echo the body. 0 or
 * -ENOMEM.
 */
int http_echo(struct http_session *s, const struct http_request *req, struct outq *out);
/* Sets up the steps that read the body of @req into the session's sink. */
void http_body_begin(struct http_session *s, const struct http_request *req);
ssize_t http_body_length(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_chunk_size(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_chunk_data(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_chunk_end(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_trailer(struct http_session *s, const char *data, size_t len, struct outq *out);
/*
 * @n bytes of the body were consumed, at the site's now_ms: refuses a body that comes too slowly, or a
 * request that takes too long. 0 or -ENOMEM.
 */
int http_body_pace(struct http_session *s, size_t n, struct outq *out);

#endif
