/* SPDX-License-Identifier: MIT */
#include "site.h"

#include "base/clock.h"
#include "server/conn/peer.h"
#include "server/counters.h"
#include "tls/tls.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_LEN 256

/* --- the lifetime of pairs --- */

/* All have the same limit, so that the list is in the order of their ends. */
static void timer_start(struct site *site)
{
	struct lifetime *first = TAILQ_FIRST(&site->lifetimes);
	uint64_t now_us = clock_us();

	ev_timer_stop(site->loop, &site->lifetime);
	if (!first)
		return;
	ev_now_update(site->loop);
	ev_timer_set(&site->lifetime, first->ends_us > now_us ? (double)(first->ends_us - now_us) / 1e6 : 0.,
		     0.);
	ev_timer_start(site->loop, &site->lifetime);
}

void lifetime_begin(struct lifetime *lifetime, struct site *site, struct peer *peer)
{
	if (!site->lifetime_us)
		return;
	lifetime->peer = peer;
	lifetime->ends_us = clock_us() + site->lifetime_us;
	TAILQ_INSERT_TAIL(&site->lifetimes, lifetime, link);
	if (!ev_is_active(&site->lifetime))
		timer_start(site);
}

void lifetime_end(struct lifetime *lifetime, struct site *site)
{
	if (lifetime->peer)
		TAILQ_REMOVE(&site->lifetimes, lifetime, link);
	lifetime->peer = NULL;
}

static void on_lifetime(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct site *site = timer->data;
	struct lifetime *lifetime;

	while ((lifetime = TAILQ_FIRST(&site->lifetimes)) && lifetime->ends_us <= clock_us()) {
		peer_end(lifetime->peer, CLOSE_LIFETIME);
		lifetime_end(lifetime, site);
	}
	timer_start(site);
}

/* --- backends --- */

void site_backend_failed(struct site *site, struct backend *backend, const char *why)
{
	uint64_t now_us = clock_us();
	char buf[LOG_MORE_LEN];
	const char *more = log_limited(&site->failed_limit, now_us, buf);

	backend_rest(backend, now_us + site->rest_us);
	count(site->counters, backend_failed);
	tally_count(backend->tally, failures);
	if (more)
		log_warning("backend %s: %s%s", backend->place.name, why, more);
}

/* --- life --- */

static int no_memory(char *why)
{
	snprintf(why, WHY_LEN, "out of memory");
	return -ENOMEM;
}

static void site_put(struct site *site)
{
	if (--site->refs)
		return;
	if (site->routes)
		routes_put(site->routes);
	tally_put(site->tally);
	free(site->host);
	free(site);
}

static void to_release(struct endpoint *to)
{
	tls_ctx_put(to->tls);
	site_put(to->site);
}

/* The site of its connections is the checks themselves. */
static void checks_release(struct endpoint *endpoint)
{
	struct site *site = (struct site *)((uintptr_t)endpoint->site - offsetof(struct site, checks));

	tls_ctx_put(endpoint->tls);
	site_put(site);
}

void site_leave(struct site *site)
{
	if (!site->has_checks)
		return;
	site->has_checks = false;
	checks_stop(&site->checks);
	endpoint_put(&site->checks.endpoint);
}

static void site_put_endpoints(struct site *site)
{
	site_leave(site);
	for (unsigned int i = site->protocols.n; i-- > 0;)
		endpoint_put(&site->to[i]);
}

static void open_endpoints(struct site *site, const struct service *back)
{
	site->refs = site->protocols.n;
	for (unsigned int i = 0; i < site->protocols.n; i++)
		site->to[i] =
			(struct endpoint){.service = back, .site = site, .refs = 1, .release = to_release};
}

struct endpoint *site_endpoint(struct site *site, const char *protocol)
{
	int at = place_protocol_at(&site->protocols, protocol);

	/* Backends of sni-map may have none where those of to= have some. */
	return &site->to[at < 0 ? 0 : at];
}

/* The name of the first backend, without its port. */
static char *host_of(const struct proxy_words *words)
{
	char host[PLACE_HOST_LEN];

	if (words->server_name)
		return strdup(words->server_name);
	return strdup(words->to.len && place_host(words->to.items[0], host) ? host : "localhost");
}

/* The protocol of the backends, or "h2,http/1.1" of to-alpn; NULL with *err 0: none are offered. */
static char *alpn_of(const struct proxy_words *words, const char *protocol, int *err)
{
	char *text = NULL;
	size_t len;
	FILE *to;

	*err = 0;
	if (*protocol) {
		text = strdup(protocol);
		*err = text ? 0 : -ENOMEM;
		return text;
	}
	if (!words->to_alpn.len)
		return NULL;
	to = open_memstream(&text, &len);
	for (size_t i = 0; to && i < words->to_alpn.len; i++)
		fprintf(to, "%s%s", i ? "," : "", words->to_alpn.items[i]);
	if (to && !fclose(to))
		return text;
	free(text);
	*err = -ENOMEM;
	return NULL;
}

static int make_tls(struct tls_ctx **ctx, const struct proxy_words *words, const char *protocol, char *why)
{
	int ret;
	char *alpn = alpn_of(words, protocol, &ret);
	const struct tls_client_params params = {
		.ca_file = words->ca,
		.insecure = !words->verify,
		.cert_file = words->client_cert,
		.key_file = words->client_key,
		.alpn = alpn,
	};

	ret = ret ? no_memory(why) : tls_ctx_client(ctx, &params, why);
	free(alpn);
	return ret;
}

static int open_tls(struct site *site, const struct proxy_words *words, char *why)
{
	int ret = 0;

	site->host = host_of(words);
	if (!site->host)
		return no_memory(why);
	for (unsigned int i = 0; i < site->protocols.n && !ret; i++) {
		site->to[i].host = site->host;
		ret = make_tls(&site->to[i].tls, words, site->protocols.names[i], why);
	}
	return ret;
}

/* What only TLS has a use for; without it, who has written it believes the backends to be verified, say. */
static bool has_tls_words(const struct proxy_words *words)
{
	return !words->verify || words->ca || words->client_cert || words->client_key || words->to_alpn.len ||
	       words->server_name;
}

int site_verify_tls(const struct proxy_words *words, char *why)
{
	struct tls_ctx *ctx;
	int ret;

	if (!words->to_tls && has_tls_words(words)) {
		snprintf(why, WHY_LEN,
			 "verify=, ca=, client-cert=, client-key=, to-alpn= and server-name= are for TLS "
			 "towards backends: add ,to-tls");
		return -EINVAL;
	}
	if (words->client_key && !words->client_cert) {
		snprintf(why, WHY_LEN, "client-key=%.150s needs client-cert=FILE", words->client_key);
		return -EINVAL;
	}
	if (!words->to_tls)
		return 0;
	ret = make_tls(&ctx, words, "", why);
	if (!ret)
		tls_ctx_put(ctx);
	return ret;
}

/* Connections that have a backend keep it, and those that are choosing one keep to the routes they began
 * with. */
static int take_routes(struct site *site, const struct proxy_words *words, char *why)
{
	struct routes *before = site->routes;

	if (routes_open(&site->routes, words->plan, (enum balance)words->balance, site->counters, site->tally,
			before))
		return no_memory(why);
	if (site->has_checks)
		checks_follow(&site->checks, site->routes);
	if (before)
		routes_put(before);
	return 0;
}

/* Connections keep the context that they began with. Its tickets are of no use in another. */
static int renew_tls(struct site *site, const struct proxy_words *words, char *why)
{
	struct tls_ctx *next[PROTOCOLS_MAX] = {NULL};
	unsigned int n = site->to[0].tls ? site->protocols.n : 0;
	int ret = 0;

	for (unsigned int i = 0; i < n && !ret; i++)
		ret = make_tls(&next[i], words, site->protocols.names[i], why);
	for (unsigned int i = 0; i < n; i++) {
		tls_ctx_put(ret ? next[i] : site->to[i].tls);
		if (!ret)
			site->to[i].tls = next[i];
	}
	if (ret || !n)
		return ret;
	for (unsigned int i = 0; i < site->routes->plan->nplaces; i++)
		backend_keep_ticket(site->routes->backends[i], NULL);
	if (site->has_checks) {
		tls_ctx_put(site->checks.endpoint.tls);
		site->checks.endpoint.tls = tls_ctx_get(site->to[0].tls);
	}
	return 0;
}

int site_reload(struct site *site, const struct proxy_words *words, char *why)
{
	int ret = renew_tls(site, words, why);

	return ret ? ret : take_routes(site, words, why);
}

static void start_checks(struct site *site, const struct proxy_words *words, const struct service_env *env)
{
	struct endpoint *like = &site->to[0];

	site->has_checks = true;
	site->refs++;
	site->checks.send_proxy = site->send_proxy;
	site->checks.endpoint = (struct endpoint){
		.tls = like->tls ? tls_ctx_get(like->tls) : NULL,
		.host = like->host,
		.refs = 1,
		.release = checks_release,
	};
	checks_start(&site->checks, env, site->routes, words->check_us);
}

int site_open(struct site **opened, const struct service *back, const struct proxy_options *options,
	      const struct proxy_words *words, const struct service_env *env, char *why)
{
	struct protocols protocols;
	struct site *site;
	int ret = place_protocols(&words->to, &protocols, why);

	if (ret)
		return ret;
	site = calloc(1, sizeof(*site));
	if (!site)
		return no_memory(why);
	site->protocols = protocols;
	open_endpoints(site, back);
	site->send_proxy = (enum send_proxy)words->send_proxy;
	site->reads_hello = words->sni_route;
	site->lifetime_us = options->lifetime_us;
	site->rest_us = options->rest_us;
	site->loop = env->loop;
	site->counters = env->counters;
	site->tally = tally_get(env->tally);
	TAILQ_INIT(&site->lifetimes);
	ev_init(&site->lifetime, on_lifetime);
	site->lifetime.data = site;
	ret = take_routes(site, words, why);
	if (!ret && words->to_tls)
		ret = open_tls(site, words, why);
	if (ret) {
		site_put_endpoints(site);
		return ret;
	}
	if (words->check_us)
		start_checks(site, words, env);
	*opened = site;
	return 0;
}

/* The last client has gone. Connections to backends may still be ending. */
void site_close(struct site *site)
{
	ev_timer_stop(site->loop, &site->lifetime);
	site_put_endpoints(site);
}
