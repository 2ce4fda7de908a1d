/* SPDX-License-Identifier: MIT */
/* A listener's proxy, as one worker runs it: its backends, and how connections to them are made. */
#ifndef PROXY_SITE_H
#define PROXY_SITE_H

#include "check.h"
#include "options.h"
#include "routes.h"
#include "server/conn/conn.h"
#include "server/log.h"

#include <ev.h>

/* Of one pair; embedded in its front. */
struct lifetime {
	TAILQ_ENTRY(lifetime) link; /* in site->lifetimes */
	struct peer *peer;	    /* NULL: there is no limit */
	uint64_t ends_us;
};

TAILQ_HEAD(lifetimes, lifetime);

struct site {
	/* Of the connections to backends, one for each protocol. Until its last reference is gone, each keeps
	 * the site: that of the listener's endpoint, and one of each such connection, which may outlive it.
	 */
	struct endpoint to[PROTOCOLS_MAX];
	struct protocols protocols;
	unsigned int refs;     /* endpoints that keep it */
	struct routes *routes; /* in effect; holds a reference */
	char *host;	       /* that the backends' certificates are for */
	enum send_proxy send_proxy;
	bool reads_hello; /* sni-route */
	uint64_t lifetime_us, rest_us;
	struct ev_loop *loop;
	struct counters *counters;
	struct tally *tally; /* the listener's; holds a reference */
	struct log_limit failed_limit, none_limit, hello_limit;
	struct lifetimes lifetimes; /* the oldest first */
	ev_timer lifetime;
	struct checks checks;
	bool has_checks;
};

/* As service.site_open(), site_reload(), site_leave() and site_close(); @back serves the connections to
 * backends. */
int site_open(struct site **site, const struct service *back, const struct proxy_options *options,
	      const struct proxy_words *words, const struct service_env *env, char *why);
int site_reload(struct site *site, const struct proxy_words *words, char *why);
/* What TLS towards backends needs, for service.verify(). */
int site_verify_tls(const struct proxy_words *words, char *why);
void site_leave(struct site *site);
void site_close(struct site *site);

/* Of the connections to a backend that speaks @protocol. */
struct endpoint *site_endpoint(struct site *site, const char *protocol);

/* @backend could not be reached, for the reason @why: it rests. */
void site_backend_failed(struct site *site, struct backend *backend, const char *why);

/* From now on, if the site sets a limit, the pair of @peer, a client, may last so long. */
void lifetime_begin(struct lifetime *lifetime, struct site *site, struct peer *peer);
/* It has ended. */
void lifetime_end(struct lifetime *lifetime, struct site *site);

#endif
