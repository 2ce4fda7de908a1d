/* SPDX-License-Identifier: MIT */
#include "site.h"

#include "base/clock.h"
#include "server/conn/peer.h"
#include "server/counters.h"
#include "tls/tls.h"

#include <errno.h>
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

	backend->rests_until_us = now_us + site->rest_us;
	count(site->counters, backend_failed);
	if (more)
		log_warning("backend %s: %s%s", backend->name, why, more);
}

/* --- life --- */

static int no_memory(char *why)
{
	snprintf(why, WHY_LEN, "out of memory");
	return -ENOMEM;
}

static void site_release(struct endpoint *to)
{
	struct site *site = to->site;

	backends_drop_tickets(&site->backends);
	tls_ctx_put(to->tls);
	free(site->host);
	free(site);
}

/* The name of the first backend, without its port. */
static char *host_of(const struct proxy_words *words)
{
	unsigned int port;
	char host[256];

	if (words->server_name)
		return strdup(words->server_name);
	if (addr_split(words->to.items[0], host, sizeof(host), &port))
		return strdup("localhost");
	return strdup(host);
}

/* "h2,http/1.1"; NULL with *err 0: none are offered. */
static char *alpn_of(const struct proxy_words *words, int *err)
{
	char *text = NULL;
	size_t len;
	FILE *to;

	*err = 0;
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

static int make_tls(struct tls_ctx **ctx, const struct proxy_words *words, char *why)
{
	int ret;
	char *alpn = alpn_of(words, &ret);
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
	site->host = host_of(words);
	if (!site->host)
		return no_memory(why);
	site->to.host = site->host;
	return make_tls(&site->to.tls, words, why);
}

static int verify_tls(const struct proxy_words *words, char *why)
{
	struct tls_ctx *ctx;
	int ret;

	if (!words->to_tls && (words->client_cert || words->client_key || words->to_alpn.len)) {
		snprintf(why, WHY_LEN,
			 "client-cert=, client-key= and to-alpn= are for TLS towards backends: add ,to-tls");
		return -EINVAL;
	}
	if (words->client_key && !words->client_cert) {
		snprintf(why, WHY_LEN, "client-key=%.150s needs client-cert=FILE", words->client_key);
		return -EINVAL;
	}
	if (!words->to_tls)
		return 0;
	ret = make_tls(&ctx, words, why);
	if (!ret)
		tls_ctx_put(ctx);
	return ret;
}

int site_verify(const void *given, char *why)
{
	const struct proxy_words *words = given;

	if (words->to.len)
		return verify_tls(words, why);
	snprintf(why, WHY_LEN, "the service proxy needs a backend: add ,to=ADDRESS:PORT or ,to=unix:PATH");
	return -EINVAL;
}

int site_open(struct site **opened, const struct service *back, const struct proxy_options *options,
	      const struct proxy_words *words, const struct service_env *env, char *why)
{
	struct site *site = calloc(1, sizeof(*site));
	int ret;

	if (!site)
		return no_memory(why);
	site->words = words;
	site->to = (struct endpoint){.service = back, .site = site, .refs = 1, .release = site_release};
	site->send_proxy = (enum send_proxy)words->send_proxy;
	site->lifetime_us = options->lifetime_us;
	site->rest_us = options->rest_us;
	site->backends.balance = (enum balance)words->balance;
	site->loop = env->loop;
	site->counters = env->counters;
	TAILQ_INIT(&site->lifetimes);
	ev_init(&site->lifetime, on_lifetime);
	site->lifetime.data = site;
	ret = site_verify(words, why);
	if (!ret)
		ret = backends_resolve(&site->backends, &words->to, why);
	if (!ret && words->to_tls)
		ret = open_tls(site, words, why);
	if (ret) {
		endpoint_put(&site->to);
		return ret;
	}
	*opened = site;
	return 0;
}

/* Connections keep the context that they began with. Its tickets are of no use in another. */
int site_reload(struct site *site, char *why)
{
	struct tls_ctx *next;
	int ret = site->to.tls ? make_tls(&next, site->words, why) : 0;

	if (ret || !site->to.tls)
		return ret;
	backends_drop_tickets(&site->backends);
	tls_ctx_put(site->to.tls);
	site->to.tls = next;
	return 0;
}

/* The last client has gone. Connections to backends may still be ending. */
void site_close(struct site *site)
{
	ev_timer_stop(site->loop, &site->lifetime);
	endpoint_put(&site->to);
}
