/* SPDX-License-Identifier: MIT */
/*
 * The two sessions of a pair.
 *
 *	front	the client's: chooses a backend, connects, and tries the next if that fails
 *	back	the backend's: there is none until a connection to it has been begun
 *
 * The front reads nothing before its backend is connected, so that nothing is lost by trying another.
 */
#include "proxy.h"

#include "base/clock.h"
#include "base/proxy_header.h"
#include "client_hello.h"
#include "options.h"
#include "relay.h"
#include "server/conn/peer.h"
#include "server/counters.h"
#include "server/log.h"
#include "server/probes.h"
#include "site.h"
#include "tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum front_state {
	FRONT_NEW,	  /* nothing has been done for it, or its ClientHello is being read */
	FRONT_CONNECTING, /* its backend is being connected, or the next is to be chosen */
	FRONT_OPEN,
	FRONT_ENDING, /* without a backend, as soon as what is under way has returned */
};

struct front {
	struct side side;
	struct site *site;
	enum front_state state;
	/* While a backend is being chosen: of the routes, which a reload may replace, and of the group. */
	struct routes *routes;
	unsigned int group;
	struct client_hello hello;
	uint64_t tried; /* backends of the group, one bit each */
	struct lifetime lifetime;
};

struct back {
	struct side side;
	struct site *site;
	struct backend *backend;
	bool has_ticket; /* that of its session has been kept */
};

/* Whether nothing but its ClientHello is waited for. */
static bool reads_hello(const struct front *front)
{
	return front->state == FRONT_NEW && front->site->reads_hello;
}

static struct front *front_of(struct side *side)
{
	return (struct front *)side;
}

/* --- the client's side --- */

static enum step no_backend(struct front *front, const char *why)
{
	struct site *site = front->site;
	char peer[ADDR_TEXT_LEN], buf[LOG_MORE_LEN];
	const char *more = log_limited(&site->none_limit, clock_us(), buf);

	count(site->counters, backend_none);
	if (more)
		log_warning("%s: %s%s", addr_text(peer_addr(front->side.peer), peer), why, more);
	front->state = FRONT_ENDING;
	peer_end(front->side.peer, CLOSE_BACKEND);
	return STEP_BLOCKED;
}

static enum step cannot_connect(struct front *front, int err)
{
	char why[128];

	snprintf(why, sizeof(why), "cannot connect to a backend: %s%s", strerror(err),
		 err == EMFILE ? "; raise LimitNOFILE= or lower max-connections" : "");
	return no_backend(front, why);
}

/* Begins to connect to the next backend. STEP_BLOCKED: it is under way, or the front ends. */
static enum step connect_next(struct front *front)
{
	struct endpoint *to = site_endpoint(front->site, front->routes->plan->groups[front->group].protocol);
	struct backend *backend;
	struct peer *peer;
	bool is_innocent;
	int ret;

	while ((backend = routes_pick(front->routes, front->group, &front->tried, clock_us()))) {
		struct back *back;

		ret = peer_connect(&peer, front->side.peer, to, &backend->place.addr.sa,
				   backend->place.addr_len);
		if (!ret) {
			back = peer_session(peer);
			back->backend = backend;
			peer_set_tally(peer, backend->tally);
			probe3(backend_connect, front->side.peer, peer, (const char *)backend->place.name);
			if (backend->ticket)
				peer_tls_resume(peer, backend->ticket);
			relay_join(&front->side, &back->side);
			front->state = FRONT_CONNECTING;
			return STEP_BLOCKED;
		}
		is_innocent = backend_is_innocent(ret);
		if (!is_innocent)
			site_backend_failed(front->site, backend, strerror(-ret));
		routes_leave(backend);
		if (is_innocent)
			return cannot_connect(front, -ret);
	}
	return no_backend(front, "no backend can be reached");
}

/* Its backend is chosen, or none will be. */
static void settle(struct front *front)
{
	if (front->routes)
		routes_put(front->routes);
	front->routes = NULL;
}

/* Begins to choose its backend: of clients that ask for @name and have negotiated @protocol. */
static enum step choose(struct front *front, const char *name, const char *protocol)
{
	int group = plan_choose(front->site->routes->plan, name, protocol);
	char why[SERVER_NAME_LEN + 64];

	if (group < 0) {
		snprintf(why, sizeof(why), "there is no backend for name %s, protocol %s",
			 *name ? name : "(none)", *protocol ? protocol : "(none)");
		return no_backend(front, why);
	}
	front->routes = routes_get(front->site->routes);
	front->group = (unsigned int)group;
	return connect_next(front);
}

static enum step choose_by_tls(struct front *front)
{
	char name[SERVER_NAME_LEN] = "";
	struct tls_info tls = {.server_name = ""};

	if (peer_tls(front->side.peer, &tls))
		server_name_normalize(tls.server_name, strlen(tls.server_name), name);
	return choose(front, name, tls.alpn);
}

static enum step refuse_hello(struct front *front, enum client_hello_is is)
{
	static const char *const texts[] = {
		[CLIENT_HELLO_NOT_TLS] = "does not begin with a TLS ClientHello",
		[CLIENT_HELLO_MALFORMED] = "its TLS ClientHello is malformed",
		[CLIENT_HELLO_TOO_LONG] = "its TLS ClientHello is longer than 64 KiB",
	};
	struct site *site = front->site;
	char peer[ADDR_TEXT_LEN], buf[LOG_MORE_LEN];
	const char *more = log_limited(&site->hello_limit, clock_us(), buf);

	count(site->counters, hello_refused);
	if (more)
		log_warning("%s: %s%s", addr_text(peer_addr(front->side.peer), peer), texts[is], more);
	front->state = FRONT_ENDING;
	peer_end(front->side.peer, CLOSE_TLS);
	return STEP_BLOCKED;
}

/* Nothing of the hello is consumed: the backend gets it. */
static enum step read_hello(struct front *front, const char *data, size_t len)
{
	char name[SERVER_NAME_LEN];
	enum client_hello_is is;

	if (!len)
		return STEP_MORE;
	is = client_hello_read(&front->hello, data, len, name);
	if (is == CLIENT_HELLO_SHORT)
		return STEP_MORE;
	return is == CLIENT_HELLO_WHOLE ? choose(front, name, "") : refuse_hello(front, is);
}

static void front_open(void *session, void *site, struct peer *peer)
{
	struct front *front = session;

	front->side.peer = peer;
	front->site = site;
	lifetime_begin(&front->lifetime, site, peer);
}

static enum step front_input(void *session, const char *data, size_t len, size_t *used, struct outq *out)
{
	struct front *front = session;

	*used = 0;
	switch (front->state) {
	case FRONT_NEW:
		return reads_hello(front) ? read_hello(front, data, len) : choose_by_tls(front);
	case FRONT_CONNECTING:
		return front->side.other ? STEP_BLOCKED : connect_next(front);
	case FRONT_ENDING:
		return STEP_BLOCKED;
	case FRONT_OPEN:
		break;
	}
	if (!front->side.other) /* it ends: see front_ended() and back_ended() */
		return relay_is_over(&front->side) ? STEP_MORE : STEP_BLOCKED;
	return relay_input(&front->side, data, len, used);
}

static enum step front_eof(void *session, size_t left, struct outq *out)
{
	return reads_hello(session) ? STEP_FAILED : relay_eof(session, left);
}

static enum phase front_phase(const void *session)
{
	return reads_hello(session) ? PHASE_HEAD : PHASE_BODY;
}

static enum step front_timeout(void *session, enum close_reason reason, struct outq *out)
{
	return STEP_FAILED;
}

static enum step front_drain(void *session)
{
	return reads_hello(session) ? STEP_FAILED : STEP_MORE;
}

static const struct peer *side_pair(const void *session)
{
	const struct side *side = session;

	return side->other ? side->other->peer : NULL;
}

static void side_sent(void *session, const struct outq *out)
{
	relay_sent(session, out);
}

/* A side has ended, and the other with it, unless that is at its end by itself. */
static void end_other(struct side *side, struct side *other, enum close_reason reason)
{
	if (other && !relay_is_over(side))
		peer_end(other->peer, reason == CLOSE_RESET ? CLOSE_RESET : CLOSE_OTHER);
}

static void front_ended(void *session, enum close_reason reason)
{
	struct front *front = session;

	settle(front);
	lifetime_end(&front->lifetime, front->site);
	end_other(&front->side, relay_part(&front->side), reason);
}

/* --- the backend's side --- */

static void back_open(void *session, void *site, struct peer *peer)
{
	struct back *back = session;

	back->side.peer = peer;
	back->site = site;
}

/* PROXY protocol: the client's address, the one that it has connected to, and what its TLS says of it. */
static size_t back_preface(void *session, char *text)
{
	struct back *back = session;
	struct proxy_header header = {0};
	const struct peer *client;
	struct proxy_tls tls;
	struct tls_info info;

	static_assert(PROXY_HEADER_MAX <= SERVICE_PREFACE_MAX, "a header is a preface");
	/* A client that has ended has not stopped a connect that was over by then. */
	if (back->site->send_proxy == SEND_PROXY_OFF || !back->side.other)
		return 0;
	client = back->side.other->peer;
	header.source = *peer_addr(client);
	if (peer_local_addr(client, &header.destination))
		header.source.sa.sa_family = AF_UNSPEC;
	if (peer_tls(client, &info)) {
		tls = (struct proxy_tls){info.version, info.cipher, info.client_name, info.has_client_cert,
					 info.resumed};
		header.tls = &tls;
		header.alpn = info.alpn;
		header.authority = info.server_name;
	}
	return proxy_header_write(&header, back->site->send_proxy == SEND_PROXY_V2, text,
				  SERVICE_PREFACE_MAX);
}

/* TLS 1.3 servers send it with the first bytes, not with the handshake. */
static void keep_ticket(struct back *back)
{
	struct tls_ticket *ticket = back->has_ticket ? NULL : peer_tls_ticket(back->side.peer);

	if (!ticket)
		return;
	back->has_ticket = true;
	backend_keep_ticket(back->backend, ticket);
}

static enum step back_input(void *session, const char *data, size_t len, size_t *used, struct outq *out)
{
	struct back *back = session;
	struct front *front = front_of(back->side.other);

	*used = 0;
	if (!front) /* it ends */
		return relay_is_over(&back->side) ? STEP_MORE : STEP_BLOCKED;
	if (front->state == FRONT_CONNECTING) {
		front->state = FRONT_OPEN;
		settle(front);
		backend_rest(back->backend, 0);
		peer_wake(front->side.peer);
	}
	keep_ticket(back);
	return relay_input(&back->side, data, len, used);
}

static void back_ended(void *session, enum close_reason reason)
{
	struct back *back = session;
	struct side *other = relay_part(&back->side);

	bool is_innocent = reason == CLOSE_MEMORY || reason == CLOSE_ADMIN;

	if (other && front_of(other)->state == FRONT_CONNECTING && is_innocent) {
		/* It is not the backend's fault, and the next would take as much, or is not wanted. */
		front_of(other)->state = FRONT_ENDING;
		end_other(&back->side, other, reason);
	} else if (other && front_of(other)->state == FRONT_CONNECTING) {
		if (reason == CLOSE_TLS) /* its ticket may be why */
			backend_keep_ticket(back->backend, NULL);
		site_backend_failed(back->site, back->backend, peer_why(back->side.peer, reason));
		peer_wake(other->peer); /* tries the next */
	} else {
		end_other(&back->side, other, reason);
	}
	routes_leave(back->backend);
}

static enum step back_eof(void *session, size_t left, struct outq *out)
{
	return relay_eof(session, left);
}

static enum phase back_phase(const void *session)
{
	return PHASE_BODY;
}

static enum step back_drain(void *session)
{
	return STEP_MORE;
}

static const struct service service_back = {
	.name = "backend",
	.session_size = sizeof(struct back),
	.open = back_open,
	.preface = back_preface,
	.input = back_input,
	.eof = back_eof,
	.sent = side_sent,
	.phase = back_phase,
	.pair = side_pair,
	.drain = back_drain,
	.ended = back_ended,
};

static int proxy_site_open(void **opened, const void *options, const void *words,
			   const struct service_env *env, char *why)
{
	return site_open((struct site **)opened, &service_back, options, words, env, why);
}

static int proxy_verify(const void *words, bool is_tls, char *why)
{
	int ret = plan_check(words, is_tls, why);

	return ret ? ret : site_verify_tls(words, why);
}

static bool proxy_alpn_of(const void *words, char *text)
{
	return plan_alpn(words, text);
}

static int proxy_prepare(void *prepared, const void *before, char *why)
{
	const struct proxy_words *was = before;
	struct proxy_words *words = prepared;

	return plan_make(&words->plan, words, was ? was->plan : NULL, why);
}

static void proxy_release(void *words)
{
	plan_put(((struct proxy_words *)words)->plan);
}

static int proxy_site_reload(void *site, const void *words, char *why)
{
	return site_reload(site, words, why);
}

static void proxy_site_leave(void *site)
{
	site_leave(site);
}

static void proxy_site_close(void *site)
{
	site_close(site);
}

const struct service service_proxy = {
	.name = "proxy",
	.summary = "passes bytes to a backend and back",
	.access = ACCESS_CONNECTIONS,
	.outgoing = 1,
	.session_size = sizeof(struct front),
	.options = proxy_options,
	.options_size = sizeof(struct proxy_options),
	.words = proxy_words,
	.words_size = sizeof(struct proxy_words),
	.alpn_of = proxy_alpn_of,
	.verify = proxy_verify,
	.prepare = proxy_prepare,
	.release = proxy_release,
	.site_open = proxy_site_open,
	.site_reload = proxy_site_reload,
	.site_leave = proxy_site_leave,
	.site_close = proxy_site_close,
	.open = front_open,
	.ended = front_ended,
	.input = front_input,
	.eof = front_eof,
	.sent = side_sent,
	.phase = front_phase,
	.pair = side_pair,
	.drain = front_drain,
	.timeout = front_timeout,
};
