/* SPDX-License-Identifier: MIT */
/* GET and HEAD of files under the root. */
#ifndef HTTP_STATIC_H
#define HTTP_STATIC_H

#include "session.h"
#include "target.h"

/* Responds to a method that files do not have: 404 where there is none, else 405 with @allow. 0 or -ENOMEM.
 */
int http_static_refuse(struct http_session *s, const struct http_path *path, struct outq *out,
		       const char *allow);

/* Responds to @req, whose target is @path. 0 or -ENOMEM. */
int http_static(struct http_session *s, const struct http_request *req, const struct http_path *path,
		struct outq *out);

#endif
