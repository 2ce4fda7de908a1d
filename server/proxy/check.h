/* SPDX-License-Identifier: MIT */
/*
 * Active checks: each worker connects to each backend once in an interval, up to the end of the TLS handshake
 * if there is one, and marks it as down or up. They are spread over the interval.
 */
#ifndef PROXY_CHECK_H
#define PROXY_CHECK_H

#include "routes.h"
#include "server/conn/conn.h"

#include <ev.h>

struct checks {
	struct endpoint endpoint; /* of the connections that check */
	struct routes *routes;	  /* the site's */
	struct shard *shard;
	struct conn_group *group;
	struct ev_loop *loop;
	ev_timer timer;
	double interval_s;
	unsigned int next, each;    /* the next place, and how many at a time */
	enum send_proxy send_proxy; /* what goes ahead says that there is no client */
};

/*
 * Begins, the first time at once. The endpoint has its TLS, its host, a reference and what releases it; its
 * site will be @checks. @interval_us is not 0.
 */
void checks_start(struct checks *checks, const struct service_env *env, struct routes *routes,
		  uint64_t interval_us);
/* They follow other routes from now on. */
void checks_follow(struct checks *checks, struct routes *routes);
/* Begins no more, and forgets what was found. */
void checks_stop(struct checks *checks);

#endif
