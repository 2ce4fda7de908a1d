/* SPDX-License-Identifier: MIT */
/* What whoever watches taiod asks it: /metrics, /healthz, /readyz, /connections; and the end of one of those.
 */
#ifndef HTTP_ADMIN_H
#define HTTP_ADMIN_H

#include "route.h"
#include "session.h"

struct roster;

/* A session of the service admin. */
struct http_admin {
	struct http_session http; /* first */
	struct roster *roster; /* what STATE_WAIT waits for, or NULL */
	bool is_whole;	       /* it has come */
};

/* The paths of the service admin. */
extern const struct http_route http_admin_routes[];

/* http_site.answer: the list of connections, or what has become of one, once it has come. */
int http_admin_answer(struct http_session *s, struct outq *out);
/* service.close */
void http_admin_close(void *session);

/* "ok", as long as a worker answers at all. */
int http_healthz(struct http_session *s, const struct http_request *req, const struct http_path *path,
		 struct outq *out);
/* The counters of all workers, in Prometheus' text format. */
int http_metrics(struct http_session *s, const struct http_request *req, const struct http_path *path,
		 struct outq *out);

#endif
