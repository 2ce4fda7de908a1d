/* SPDX-License-Identifier: MIT */
/* GET and HEAD of files under the root. */
#ifndef HTTP_STATIC_H
#define HTTP_STATIC_H

#include "session.h"
#include "target.h"

/*
 * Responds to a method that files do not have: 404 where there is none, else 405 with @allow. 0 or -ENOMEM.
 */
int http_static_refuse(struct http_session *s, const struct http_path *path, struct outq *out,
		       const char *allow);

/* Responds to @req, whose target is @path. 0 or -ENOMEM. */
int http_static(struct http_session *s, const struct http_request *req, const struct http_path *path,
		struct outq *out);

/* respond_again() of the service: to a GET whose file has changed, or could not be read. */
int http_static_again(struct http_session *s, struct outq_file *file, uint32_t note, int err,
		      struct outq *out);

#endif
