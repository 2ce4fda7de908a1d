/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "base/proxy_header.h"
#include "server/conn/peer.h"

#include <errno.h>
#include <string.h>

/* Timers fire no more often than this, in s; then several backends are checked at a time. */
#define TICK_MIN_S .01

/* A connection that checks a backend. */
struct probe {
	struct peer *peer;
	const struct checks *checks;
	struct backend *backend; /* holds a reference; NULL: the check has ended */
};

static void probe_open(void *session, void *site, struct peer *peer)
{
	struct probe *probe = session;

	probe->peer = peer;
	probe->checks = site;
}

/* @why: as in backend_checked(). Checks that have been stopped want to know no more. */
static void probe_judge(const struct probe *probe, const char *why)
{
	if (ev_is_active(&probe->checks->timer))
		backend_checked(probe->backend, why);
}

static void probe_end(struct probe *probe)
{
	probe->backend->is_checked = false;
	backend_put(probe->backend);
	probe->backend = NULL;
}

static size_t probe_preface(void *session, char *text)
{
	const struct probe *probe = session;
	const struct proxy_header none = {0};
	enum send_proxy send_proxy = probe->checks->send_proxy;

	if (send_proxy == SEND_PROXY_OFF)
		return 0;
	return proxy_header_write(&none, send_proxy == SEND_PROXY_V2, text, SERVICE_PREFACE_MAX);
}

/* It is connected, and a handshake is over. */
static enum step probe_input(void *session, const char *data, size_t len, size_t *used, struct outq *out)
{
	struct probe *probe = session;

	*used = 0;
	if (probe->backend) {
		probe_judge(probe, NULL);
		probe_end(probe);
		peer_end(probe->peer, CLOSE_CHECK);
	}
	return STEP_BLOCKED;
}

static enum step probe_eof(void *session, size_t left, struct outq *out)
{
	return STEP_FAILED;
}

static enum phase probe_phase(const void *session)
{
	return PHASE_BODY;
}

/* Whether an end says nothing about the backend. */
static bool is_ours(enum close_reason reason)
{
	return reason == CLOSE_DRAIN || reason == CLOSE_EVICTED || reason == CLOSE_MEMORY ||
	       reason == CLOSE_ADMIN;
}

static void probe_ended(void *session, enum close_reason reason)
{
	struct probe *probe = session;

	if (!probe->backend)
		return;
	if (!is_ours(reason))
		probe_judge(probe, peer_why(probe->peer, reason));
	probe_end(probe);
}

static const struct service service_probe = {
	.name = "check",
	.session_size = sizeof(struct probe),
	.open = probe_open,
	.preface = probe_preface,
	.input = probe_input,
	.eof = probe_eof,
	.phase = probe_phase,
	.ended = probe_ended,
};

static void check(struct checks *checks, struct backend *backend)
{
	const struct place *place = &backend->place;
	struct peer *peer;
	struct probe *probe;
	int ret;

	if (backend->is_checked)
		return;
	ret = peer_open(&peer, checks->shard, checks->group, &checks->endpoint, &place->addr.sa,
			place->addr_len);
	if (ret && ret != -ESHUTDOWN && !backend_is_innocent(ret)) /* -ESHUTDOWN: the worker drains */
		backend_checked(backend, strerror(-ret));
	if (ret)
		return;
	probe = peer_session(peer);
	probe->backend = backend_get(backend);
	backend->is_checked = true;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct checks *checks = timer->data;
	unsigned int n = checks->routes->plan->nplaces;

	for (unsigned int i = 0; i < checks->each; i++) {
		checks->next %= n;
		check(checks, checks->routes->backends[checks->next++]);
	}
}

/* Each place once in the interval. */
static void set_pace(struct checks *checks)
{
	unsigned int n = checks->routes->plan->nplaces;
	double tick_s = n ? checks->interval_s / n : 0.;

	ev_timer_stop(checks->loop, &checks->timer);
	if (!n)
		return;
	checks->each = 1;
	if (tick_s < TICK_MIN_S) {
		checks->each = (unsigned int)(TICK_MIN_S / tick_s) + 1;
		tick_s *= checks->each;
	}
	ev_timer_set(&checks->timer, 0., tick_s);
	ev_timer_start(checks->loop, &checks->timer);
}

void checks_start(struct checks *checks, const struct service_env *env, struct routes *routes,
		  uint64_t interval_us)
{
	checks->endpoint.service = &service_probe;
	checks->endpoint.site = checks;
	checks->routes = routes;
	checks->shard = env->shard;
	checks->group = env->group;
	checks->loop = env->loop;
	checks->interval_s = (double)interval_us / 1e6;
	ev_init(&checks->timer, on_timer);
	checks->timer.data = checks;
	set_pace(checks);
}

void checks_follow(struct checks *checks, struct routes *routes)
{
	checks->routes = routes;
	set_pace(checks);
}

void checks_stop(struct checks *checks)
{
	ev_timer_stop(checks->loop, &checks->timer);
	for (unsigned int i = 0; i < checks->routes->plan->nplaces; i++)
		backend_forget(checks->routes->backends[i]);
}
