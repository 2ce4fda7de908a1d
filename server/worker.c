/* SPDX-License-Identifier: MIT */
/*
 * A turn submits the gathered operations to the ring, reaps, lets the connections react, and repeats until
 * the ring is dry; then libev sleeps on the ring's descriptor. A limit on the rounds keeps timers and accepts
 * fair.
 */
#include "worker.h"

#include "base/clock.h"
#include "config.h"
#include "log.h"
#include "options.h"
#include "server/conn/deadline.h"
#include "server/conn/fsm.h"
#include "server/conn/turn.h"
#include "tls/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TURN_ROUNDS 16

static void clock_update(struct shard *shard)
{
	shard->now_us = clock_us();
}

/* --- deadlines --- */

static void on_expired(struct conn *c, enum deadline_class class)
{
	conn_fsm(c, ON_DEADLINE, (long)class);
}

static void deadline_start(struct worker *w, enum deadline_class class, uint64_t at_us)
{
	uint64_t now_us = w->shard.now_us;
	ev_timer *timer = &w->deadlines[class];

	ev_timer_stop(w->loop, timer);
	ev_now_update(w->loop);
	ev_timer_set(timer, at_us > now_us ? (double)(at_us - now_us) / 1e6 : 0., 0.);
	ev_timer_start(w->loop, timer);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct worker *w = timer->data;
	enum deadline_class class = (enum deadline_class)(timer - w->deadlines);
	uint64_t next_us;

	clock_update(&w->shard);
	next_us = deadline_expire(&w->shard, class, on_expired);
	if (next_us)
		deadline_start(w, class, next_us);
}

/* Starts the timer of a list that has just got its first connection. After that, its deadlines only move
 * later. */
static void deadlines_watch(struct worker *w)
{
	for (int class = DEADLINE_NONE + 1; class < DEADLINE_NCLASSES; class ++) {
		struct conn *first = TAILQ_FIRST(&w->shard.deadlines[class]);

		if (first && !ev_is_active(&w->deadlines[class]))
			deadline_start(w, (enum deadline_class) class, first->deadline_us);
	}
}

/* --- the turn --- */

static bool run_ring(struct worker *w)
{
	for (int round = 0; round < TURN_ROUNDS; round++) {
		turn_submit(&w->shard);
		clock_update(&w->shard);
		if (!turn_reap(&w->shard) && !w->shard.batch.len)
			return true;
	}
	return false;
}

static void drained(struct worker *w)
{
	if (w->shard.draining && !w->shard.nconns)
		ev_break(w->loop, EVBREAK_ALL);
}

static void on_turn(struct ev_loop *loop, ev_prepare *prepare, int revents)
{
	struct worker *w = prepare->data;

	if (run_ring(w))
		ev_idle_stop(loop, &w->again);
	else
		ev_idle_start(loop, &w->again);
	for (unsigned int i = 0; i < w->nacceptors; i++)
		acceptor_resume(&w->acceptors[i]);
	deadlines_watch(w);
	drained(w);
}

/* The turn that follows does the work; these only keep the loop from sleeping. */
static void on_ring_ready(struct ev_loop *loop, ev_io *io, int revents) {}

static void on_again(struct ev_loop *loop, ev_idle *idle, int revents) {}

static void on_beat(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct worker *w = timer->data;

	atomic_fetch_add(&w->beats, 1);
}

/* --- requests of the main thread --- */

static void stop_accepting(struct worker *w)
{
	for (unsigned int i = 0; i < w->nacceptors; i++) {
		acceptor_stop(&w->acceptors[i]);
		listener_close_fd(&w->listeners[i], w->index);
	}
}

/* A step may end others: a reference keeps the one at hand in the list until its successor is known. */
static void each_conn(struct worker *w, enum conn_event event)
{
	struct conn *c = LIST_FIRST(&w->shard.conns), *next;

	if (c)
		conn_get(c);
	for (; c; c = next) {
		conn_fsm(c, event, 0);
		next = LIST_NEXT(c, link);
		if (next)
			conn_get(next);
		conn_put(c);
	}
}

static void on_drain_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct worker *w = timer->data;

	clock_update(&w->shard);
	log_notice("worker %u: drain timeout: cancelling %u connections", w->index, w->shard.nconns);
	each_conn(w, ON_STOP);
}

static void drain(struct worker *w)
{
	if (w->shard.draining)
		return;
	w->shard.draining = true;
	stop_accepting(w);
	each_conn(w, ON_DRAIN);
	ev_timer_set(&w->drain, (double)w->shard.settings->drain_us / 1e6, 0.);
	ev_timer_start(w->loop, &w->drain);
}

static void endpoint_take_tls(struct endpoint *endpoint, struct tls_ctx *ctx)
{
	struct tls_ctx *old = endpoint->tls;

	endpoint->tls = tls_ctx_get(ctx);
	tls_ctx_put(old);
}

static void endpoint_reload(const struct endpoint *endpoint)
{
	char why[WORKER_WHY_LEN];

	if (endpoint->service->site_reload && endpoint->service->site_reload(endpoint->site, why))
		log_warning("%s: still serving what was there before", why);
}

static void reload(struct worker *w)
{
	struct config *config = atomic_exchange(&w->next, NULL), *old = w->config;

	if (!config)
		return; /* taken with the previous request */
	w->config = config;

	w->shard.settings = config->settings;
	deadline_rearm(&w->shard);
	for (int class = 0; class < DEADLINE_NCLASSES; class ++)
		ev_timer_stop(w->loop, &w->deadlines[class]);
	for (unsigned int i = 0; i < w->nacceptors; i++) {
		if (config->tls[i])
			endpoint_take_tls(&w->acceptors[i].endpoint, config->tls[i]);
		endpoint_reload(&w->acceptors[i].endpoint);
		acceptor_resume(&w->acceptors[i]); /* when-full may have changed */
	}
	config_put(old);
}

static void on_wake(struct ev_loop *loop, ev_async *async, int revents)
{
	struct worker *w = async->data;
	int requests = atomic_exchange(&w->requests, 0);

	clock_update(&w->shard);
	if (requests & WORKER_RELOAD)
		reload(w);
	if (requests & WORKER_DRAIN)
		drain(w);
	if (requests & WORKER_STOP) {
		drain(w);
		each_conn(w, ON_STOP);
	}
}

void worker_request(struct worker *w, enum worker_request request)
{
	atomic_fetch_or(&w->requests, request);
	ev_async_send(w->loop, &w->wake);
}

void worker_reload(struct worker *w, struct config *config)
{
	/* Drops one that the worker has not taken yet. */
	config_put(atomic_exchange(&w->next, config_get(config)));
	worker_request(w, WORKER_RELOAD);
}

/* --- life --- */

static void watchers_start(struct worker *w)
{
	ev_prepare_init(&w->turn, on_turn);
	w->turn.data = w;
	ev_prepare_start(w->loop, &w->turn);
	ev_io_init(&w->ring_ready, on_ring_ready, taio_fd(w->shard.ring), EV_READ);
	ev_io_start(w->loop, &w->ring_ready);
	ev_idle_init(&w->again, on_again);
	ev_async_init(&w->wake, on_wake);
	w->wake.data = w;
	ev_async_start(w->loop, &w->wake);
	for (int i = 0; i < DEADLINE_NCLASSES; i++) {
		ev_init(&w->deadlines[i], on_deadline);
		w->deadlines[i].data = w;
	}
	ev_init(&w->drain, on_drain_over);
	w->drain.data = w;
}

static unsigned int share(unsigned int total, unsigned int nworkers)
{
	return (total + nworkers - 1) / nworkers;
}

unsigned int worker_entries(const struct worker *w, const struct settings *settings)
{
	return settings->ring_entries ? settings->ring_entries : 2 * w->limit + 64;
}

static int ring_open(struct worker *w, const struct settings *settings, const char *engine, char *why)
{
	struct taio_params params = {
		.engine = engine,
		.entries = worker_entries(w, settings),
		.helpers_max = settings->helpers,
		.flags = settings->reap_syscall ? TAIO_REAP_SYSCALL : 0,
	};

	return taio_open(&w->shard.ring, &params, why);
}

static int acceptor_open(struct worker *w, struct acceptor *a, struct listener *l, struct tls_ctx *tls,
			 const struct settings *settings, char *why)
{
	int ret = 0;

	*a = (struct acceptor){.shard = &w->shard, .limit = w->limit, .fd = l->fds[w->index]};
	a->endpoint.service = l->service;
	if (l->service->site_open)
		ret = l->service->site_open(&a->endpoint.site, settings_of(settings, l->service), l->words,
					    &w->env, why);
	if (!ret && tls)
		a->endpoint.tls = tls_ctx_get(tls);
	return ret;
}

static void acceptors_close(struct worker *w)
{
	for (unsigned int i = 0; i < w->nacceptors; i++) {
		struct endpoint *endpoint = &w->acceptors[i].endpoint;

		if (endpoint->service->site_close)
			endpoint->service->site_close(endpoint->site);
		tls_ctx_put(endpoint->tls);
	}
	free(w->acceptors);
}

static int acceptors_open(struct worker *w, const struct config *config, unsigned int n, char *why)
{
	int ret = -ENOMEM;

	w->acceptors = calloc(n, sizeof(*w->acceptors));
	if (!w->acceptors) {
		snprintf(why, WORKER_WHY_LEN, "out of memory");
		return ret;
	}
	for (w->nacceptors = 0; w->nacceptors < n; w->nacceptors++) {
		ret = acceptor_open(w, &w->acceptors[w->nacceptors], &w->listeners[w->nacceptors],
				    config->tls[w->nacceptors], config->settings, why);
		if (ret) {
			acceptors_close(w);
			return ret;
		}
	}
	return 0;
}

int worker_open(struct worker *w, unsigned int index, struct config *config, struct listener *listeners,
		unsigned int nlisteners, unsigned int nworkers, const char *engine,
		const struct service_env *env, char *why)
{
	const struct settings *settings = config->settings;
	int ret = -ENOMEM;

	w->limit = share(settings->max_connections, nworkers);
	w->index = index;
	w->listeners = listeners;
	deadline_init(&w->shard);
	LIST_INIT(&w->shard.conns);
	hist_reset(&w->shard.cancel_us);
	w->shard.settings = settings;
	clock_update(&w->shard);
	snprintf(why, WORKER_WHY_LEN, "out of memory");
	w->shard.scratch = malloc(SCRATCH_SIZE);
	if (!w->shard.scratch)
		return ret;
	w->loop = ev_loop_new(EVFLAG_AUTO);
	if (!w->loop)
		goto free_scratch;
	ret = ring_open(w, settings, engine, why);
	if (ret)
		goto destroy_loop;
	w->env = (struct service_env){
		.ring = w->shard.ring,
		.loop = w->loop,
		.counters = &w->shard.counters,
		.metrics = env->metrics,
		.metrics_arg = env->metrics_arg,
	};
	ret = acceptors_open(w, config, nlisteners, why);
	if (ret)
		goto close_ring;
	w->config = config_get(config);
	watchers_start(w);
	return 0;
close_ring:
	taio_close(w->shard.ring);
destroy_loop:
	ev_loop_destroy(w->loop);
free_scratch:
	free(w->shard.scratch);
	return ret;
}

static void *run(void *arg)
{
	struct worker *w = arg;

	clock_update(&w->shard);
	for (unsigned int i = 0; i < w->nacceptors; i++)
		acceptor_start(&w->acceptors[i], w->loop);
	ev_timer_init(&w->beat, on_beat, w->beat_s, w->beat_s);
	w->beat.data = w;
	ev_timer_start(w->loop, &w->beat);
	ev_run(w->loop, 0);
	acceptors_close(w);
	outq_trim();
	atomic_store(&w->done, true);
	w->on_done(w->on_done_arg);
	return NULL;
}

int worker_start(struct worker *w, double beat_s)
{
	w->beat_s = beat_s;
	return -pthread_create(&w->thread, NULL, run, w);
}

void worker_close(struct worker *w)
{
	config_put(w->config);
	config_put(atomic_exchange(&w->next, NULL));
	taio_close(w->shard.ring);
	ev_loop_destroy(w->loop);
	batch_fini(&w->shard.batch);
	blocks_fini(&w->shard.blocks);
	free(w->shard.scratch);
}
