/* SPDX-License-Identifier: MIT */
#include "endpoint.h"

#include "config.h"
#include "listener.h"
#include "log.h"
#include "server/conn/conn.h"
#include "sockets.h"
#include "tls/tls.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

struct served {
	struct endpoint endpoint;
	struct config *config; /* holds a reference */
	const struct listener *listener;
	struct service_env env;
	char where[SOCKETS_TEXT_LEN];
};

static struct served *served_of(const struct endpoint *endpoint)
{
	return (struct served *)((uintptr_t)endpoint - offsetof(struct served, endpoint));
}

static void endpoint_release(struct endpoint *endpoint)
{
	struct served *s = served_of(endpoint);

	if (endpoint->service->site_close)
		endpoint->service->site_close(endpoint->site);
	tls_ctx_put(endpoint->tls);
	tally_put(endpoint->tally);
	config_put(s->config);
	free(s);
}

static void take_tls(struct endpoint *endpoint, struct tls_ctx *ctx)
{
	struct tls_ctx *old = endpoint->tls;

	endpoint->tls = ctx ? tls_ctx_get(ctx) : NULL;
	tls_ctx_put(old);
}

/* An abstract name (unix(7)), which only a service manager hands over, has no permissions. */
static bool is_at_path(const struct sockets *sockets)
{
	const struct sockaddr *addr = &sockets->addr.sa;

	return sockets->kind == SOCKETS_PATH || (addr->sa_family == AF_UNIX && addr->sa_data[0]);
}

int endpoint_open(struct endpoint **endpoint, struct config *config, unsigned int i,
		  const struct service_env *env, struct conn_group *group, char *why)
{
	const struct listener *l = &config->listeners[i];
	struct served *s = calloc(1, sizeof(*s));
	char where[SOCKETS_TEXT_LEN];
	int ret = 0;

	if (!s || tally_open(&s->endpoint.tally, &env->shard->book, sockets_text(l->sockets, where),
			     l->service->name)) {
		snprintf(why, ENDPOINT_WHY_LEN, "out of memory");
		free(s);
		return -ENOMEM;
	}
	s->env = *env;
	s->env.group = group;
	s->endpoint.access = l->access_log ? l->service->access : ACCESS_NOTHING;
	if (s->endpoint.access != ACCESS_RESPONSES)
		s->env.access = NULL;
	s->endpoint.listener = sockets_text(l->sockets, s->where);
	s->env.is_at_path = is_at_path(l->sockets);
	s->env.tally = s->endpoint.tally;
	if (l->service->site_open)
		ret = l->service->site_open(&s->endpoint.site, l->options, l->words, &s->env, why);
	if (ret) {
		tally_put(s->endpoint.tally);
		free(s);
		return ret;
	}
	s->endpoint.service = l->service;
	s->endpoint.accept_proxy = &l->accept_proxy;
	s->endpoint.accept_rate = (double)l->accept_rate / sockets_acceptors(l->sockets);
	s->endpoint.refs = 1;
	s->endpoint.release = endpoint_release;
	take_tls(&s->endpoint, config->tls[i]);
	s->config = config_get(config);
	s->listener = l;
	*endpoint = &s->endpoint;
	return 0;
}

static bool are_equal(const struct opt *rows, const void *a, const void *b)
{
	for (const struct opt *row = rows; row && row->name; row++)
		if (!opt_equal(row, a, b))
			return false;
	return true;
}

bool endpoint_is_same(const struct endpoint *endpoint, const struct config *config, unsigned int i)
{
	const struct served *s = served_of(endpoint);
	const struct listener *l = &config->listeners[i];
	const struct service *service = l->service;

	return endpoint->service == service && are_equal(listener_words, s->listener, l) &&
	       are_equal(service->words, s->listener->words, l->words) &&
	       are_equal(service->options, s->listener->options, l->options);
}

void endpoint_renew(struct endpoint *endpoint, const struct config *config, unsigned int i)
{
	char why[ENDPOINT_WHY_LEN];

	take_tls(endpoint, config->tls[i]);
	if (endpoint->service->site_reload &&
	    endpoint->service->site_reload(endpoint->site, config->listeners[i].words, why))
		log_warning("%s: still serving what was there before", why);
}

void endpoint_leave(struct endpoint *endpoint)
{
	if (endpoint->service->site_leave)
		endpoint->service->site_leave(endpoint->site);
	endpoint_put(endpoint);
}

const struct sockets *endpoint_sockets(const struct endpoint *endpoint)
{
	return served_of(endpoint)->listener->sockets;
}
