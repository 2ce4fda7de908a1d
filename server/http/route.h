/* SPDX-License-Identifier: MIT */
/* What a site has besides files: paths that a function answers. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "request.h"

struct http_path;
struct http_session;
struct outq;

struct http_route {
	/* Without the slash at its beginning; with one at its end: what is below. .at NULL ends a table. */
	struct span path;
	unsigned int methods; /* bits of enum http_method */
	const char *allow;    /* the line for those */
	/* Appends the response. 0; -ENOMEM, after which the connection is aborted; or HTTP_WAIT (session.h).
	 */
	int (*respond)(struct http_session *s, const struct http_request *req, const struct http_path *path,
		       struct outq *out);
};

#define HTTP_PATH(text)                                                                                      \
	{                                                                                                    \
		text, sizeof(text) - 1                                                                       \
	}
#define HTTP_BIT(method) (1U << (method))
#define HTTP_MAY_GET	 (HTTP_BIT(METHOD_GET) | HTTP_BIT(METHOD_HEAD))
#define HTTP_ALLOW_GET	 "Allow: GET, HEAD, OPTIONS\r\n"
#define HTTP_ALLOW_POST	 "Allow: POST, OPTIONS\r\n"
#define HTTP_ALLOW_DELETE "Allow: DELETE, OPTIONS\r\n"
#define HTTP_ALLOW_ANY	 "Allow: GET, HEAD, POST, OPTIONS\r\n"

#endif
