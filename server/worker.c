/* SPDX-License-Identifier: MIT */
/*
 * A turn submits the gathered operations to the ring, reaps, lets the connections react, and repeats until
 * the ring is dry; then libev sleeps on the ring's descriptor. A limit on the rounds keeps timers and accepts
 * fair.
 */
#include "worker.h"

#include "access_log.h"
#include "base/clock.h"
#include "config.h"
#include "endpoint.h"
#include "log.h"
#include "memory.h"
#include "options.h"
#include "probes.h"
#include "server/conn/access.h"
#include "server/conn/deadline.h"
#include "server/conn/fsm.h"
#include "server/conn/list.h"
#include "server/conn/peer.h"
#include "server/conn/turn.h"
#include "services.h"
#include "tls/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TURN_ROUNDS 16

static void clock_update(struct shard *shard)
{
	shard->turn++;
	shard->now_us = clock_us();
}

/* --- deadlines --- */

static void on_expired(struct conn *c, enum close_reason reason)
{
	probe3(deadline, c, c->fd, close_reason_text(reason));
	conn_fsm(c, ON_DEADLINE, (long)reason);
}

static void timer_start(struct worker *w, ev_timer *timer, uint64_t at_us)
{
	uint64_t now_us = w->shard.now_us;

	ev_timer_stop(w->loop, timer);
	ev_now_update(w->loop);
	ev_timer_set(timer, at_us > now_us ? (double)(at_us - now_us) / 1e6 : 0., 0.);
	ev_timer_start(w->loop, timer);
}

static void deadline_timer_start(struct worker *w, enum deadline_class class, uint64_t at_us)
{
	w->deadlines_us[class] = at_us;
	timer_start(w, &w->deadlines[class], at_us);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct worker *w = timer->data;
	enum deadline_class class = (enum deadline_class)(timer - w->deadlines);
	uint64_t next_us;

	clock_update(&w->shard);
	next_us = deadline_expire(&w->shard, class, on_expired);
	if (next_us)
		deadline_timer_start(w, class, next_us);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct worker *w = timer->data;
	uint64_t next_us;

	clock_update(&w->shard);
	next_us = deadline_look(&w->shard, on_expired);
	if (next_us)
		timer_start(w, timer, next_us);
}

/* Lists that were empty have got their first connections. After that, the deadlines in a list only move
 * later. */
static void deadlines_watch(struct worker *w)
{
	uint64_t look_us = deadline_next_look(&w->shard);

	if (look_us && !ev_is_active(&w->look))
		timer_start(w, &w->look, look_us);
	for (int class = DEADLINE_NONE + 1; class < DEADLINE_NCLASSES; class ++) {
		uint64_t soonest_us = w->shard.soonest_us[class];

		if (soonest_us &&
		    (!ev_is_active(&w->deadlines[class]) || soonest_us < w->deadlines_us[class]))
			deadline_timer_start(w, (enum deadline_class) class, soonest_us);
		w->shard.soonest_us[class] = 0;
	}
}

/* --- the turn --- */

static bool run_ring(struct worker *w)
{
	for (int round = 0; round < TURN_ROUNDS; round++) {
		int n;

		turn_wake(&w->shard);
		turn_submit(&w->shard);
		clock_update(&w->shard);
		n = turn_reap(&w->shard) + turn_take(&w->shard);
		if (!n && !w->shard.batch.len && STAILQ_EMPTY(&w->shard.woken))
			return true;
	}
	return false;
}

static void tell_memory(struct worker *w)
{
	struct shard *shard = &w->shard;
	size_t used = conn_memory_all(shard), kept = conn_memory_kept(shard);

	/* A worker that is idle asks for no memory, and gives back what others may need. */
	if (kept && conn_memory_exceeds(shard, NULL, CONN_MEMORY_SPARE))
		kept = conn_memory_kept(shard);
	count_set(&shard->counters, COUNT_memory, used);
	count_set(&shard->counters, COUNT_memory_kept, kept);
	memory_tell(&shard->memory, used + kept, shard->nconns);
}

static void tell_slots(struct worker *w)
{
	struct taio *ring = w->shard.ring;

	count_set(&w->shard.counters, COUNT_ring_slots, taio_takes_slots(ring) ? taio_capacity(ring) : 0);
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
	tell_memory(w);
	tell_slots(w);
	intake_resume(w->intake);
	deadlines_watch(w);
	drained(w);
}

/* The turn that follows does the work; these only keep the loop from sleeping. */
static void on_ring_ready(struct ev_loop *loop, ev_io *io, int revents) {}

static void on_again(struct ev_loop *loop, ev_idle *idle, int revents) {}

static void on_beat(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct worker *w = timer->data;

	if (ring_probe_beat(&w->shard.probe, &w->shard.batch))
		atomic_fetch_add(&w->beats, 1);
}

/* --- requests of the main thread --- */

typedef bool conn_filter(const struct conn *c, const void *arg);

/* A step may end others: a reference keeps the one at hand in the list until its successor is known. */
static void some_conns(struct worker *w, enum conn_event event, conn_filter *filter, const void *arg)
{
	struct conn *c = LIST_FIRST(&w->shard.conns), *next;

	if (c)
		conn_get(c);
	for (; c; c = next) {
		if (filter(c, arg))
			conn_fsm(c, event, 0);
		next = LIST_NEXT(c, link);
		if (next)
			conn_get(next);
		conn_put(c);
	}
}

static bool is_any(const struct conn *c, const void *arg)
{
	return true;
}

static void each_conn(struct worker *w, enum conn_event event)
{
	some_conns(w, event, is_any, NULL);
}

static void on_drain_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct worker *w = timer->data;

	clock_update(&w->shard);
	log_notice("worker %u: drain timeout: cancelling %u connection%s", w->host.index, w->shard.nconns,
		   w->shard.nconns == 1 ? "" : "s");
	each_conn(w, ON_STOP);
}

static void leave(struct worker *w)
{
	if (w->shard.draining)
		return;
	w->shard.draining = true;
	intake_stop(w->intake, w->host.index);
}

static void drain(struct worker *w)
{
	if (w->is_finishing)
		return;
	w->is_finishing = true;
	leave(w);
	each_conn(w, ON_DRAIN);
	ev_timer_set(&w->drain, (double)w->shard.settings->drain_us / 1e6, 0.);
	ev_timer_start(w->loop, &w->drain);
}

/* --- reload --- */

static bool is_at(const struct conn *c, const void *sockets)
{
	return !c->is_outgoing && endpoint_sockets(c->endpoint) == sockets;
}

static bool is_late(const struct conn *c, const void *now_us)
{
	return c->endpoint->ends_us && c->endpoint->ends_us <= *(const uint64_t *)now_us;
}

/* The next time at which connections of a listener that is gone are cancelled; 0: there are none. */
static void leave_start(struct worker *w)
{
	uint64_t next_us = 0;
	struct conn *c;

	LIST_FOREACH (c, &w->shard.conns, link) {
		uint64_t ends_us = c->endpoint->ends_us;

		if (ends_us > w->shard.now_us && (!next_us || ends_us < next_us))
			next_us = ends_us;
	}
	ev_timer_stop(w->loop, &w->leave);
	if (next_us)
		timer_start(w, &w->leave, next_us);
}

static void on_leave(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct worker *w = timer->data;

	clock_update(&w->shard);
	some_conns(w, ON_STOP, is_late, &w->shard.now_us);
	leave_start(w);
}

/* Connections of a listener that is gone finish what is under way, as at the end. */
static void on_gone(void *arg, const struct sockets *sockets)
{
	struct worker *w = arg;
	struct conn *c;

	LIST_FOREACH (c, &w->shard.conns, link)
		if (is_at(c, sockets))
			c->endpoint->ends_us = w->shard.now_us + w->shard.settings->drain_us;
	some_conns(w, ON_DRAIN, is_at, sockets);
}

static void prepare(struct worker *w)
{
	w->answer.ret = intake_prepare(&w->next, &w->host, w->intake, w->answer.config, w->answer.why);
	sem_post(&w->answered);
}

static void commit(struct worker *w)
{
	struct intake *next = w->next, *now = w->intake;

	w->next = NULL;
	w->intake = next;
	w->shard.settings = next->config->settings;
	w->shard.access = next->config->access ? access_log_queue(next->config->access, w->host.index) : NULL;
	w->shard.census.max = w->shard.settings->max_per_address;
	census_set_prefix(&w->shard.census, w->shard.settings->address_prefix);
	w->shard.max_memory = w->shard.settings->max_memory;
	intake_commit(next, &w->host, now, on_gone, w);
	deadline_rearm(&w->shard);
	some_conns(w, ON_STOP, is_late, &w->shard.now_us); /* drain-timeout may be 0 */
	leave_start(w);
}

static void abandon(struct worker *w)
{
	intake_abort(w->next);
	w->next = NULL;
}

static char *answer_roster(struct worker *w, const struct roster_question *question, size_t *len)
{
	char *text;

	if (!question->ends)
		return conn_list(&w->shard, w->host.index, question, len);
	text = conn_list_end(&w->shard, question->ends) ? strdup("ending\n") : NULL;
	if (text)
		*len = strlen(text);
	return text;
}

/* Of connections: what others ask of this worker, and what it has asked for itself. */
static void serve_rosters(struct worker *w)
{
	struct roster_part *part;

	while ((part = roster_next(&w->desk))) {
		size_t len = 0;
		char *text = answer_roster(w, roster_part_question(part), &len);

		roster_fill(part, text, len);
	}
	roster_deliver(&w->desk);
}

static void on_wake(struct ev_loop *loop, ev_async *async, int revents)
{
	struct worker *w = async->data;
	int requests = atomic_exchange(&w->requests, 0);

	clock_update(&w->shard);
	/* The order in which the daemon makes them. None: a thread has brought something. */
	if (requests & WORKER_COMMIT) {
		commit(w);
		sem_post(&w->answered);
	}
	if (requests & WORKER_ABORT)
		abandon(w);
	if (requests & WORKER_PREPARE)
		prepare(w);
	if (requests & WORKER_LEAVE)
		leave(w);
	if (requests & WORKER_DRAIN)
		drain(w);
	if (requests & WORKER_STOP) {
		drain(w);
		each_conn(w, ON_STOP);
	}
	serve_rosters(w);
}

/* On any thread: what a thread of the crew has brought is in the tray, and is taken by the turn. */
static void wake(void *arg)
{
	struct worker *w = arg;

	ev_async_send(w->loop, &w->wake);
}

void worker_request(struct worker *w, enum worker_request request)
{
	atomic_fetch_or(&w->requests, request);
	ev_async_send(w->loop, &w->wake);
}

void worker_prepare(struct worker *w, struct config *config)
{
	w->answer.config = config;
	worker_request(w, WORKER_PREPARE);
}

static void wait_answer(struct worker *w)
{
	while (sem_wait(&w->answered) < 0)
		;
}

int worker_prepared(struct worker *w, char *why)
{
	wait_answer(w);
	if (w->answer.ret)
		snprintf(why, WORKER_WHY_LEN, "%s", w->answer.why);
	return w->answer.ret;
}

void worker_committed(struct worker *w)
{
	wait_answer(w);
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
	ev_init(&w->look, on_look);
	w->look.data = w;
	ev_init(&w->drain, on_drain_over);
	w->drain.data = w;
	ev_init(&w->leave, on_leave);
	w->leave.data = w;
}

unsigned int worker_ops(const struct settings *settings, unsigned int nworkers, unsigned int outgoing)
{
	unsigned int nops = 2 * intake_share(settings->max_connections, nworkers) * (1 + outgoing) + 64;

	if (settings->ring_entries)
		return settings->ring_entries;
	return nops < RING_ENTRIES_MAX ? nops : RING_ENTRIES_MAX;
}

/* A reload may bring any service, and what a ring never uses costs nothing. */
static unsigned int most_outgoing(void)
{
	unsigned int most = 0;

	for (int i = 0; services[i]; i++)
		if (services[i]->outgoing > most)
			most = services[i]->outgoing;
	return most;
}

struct taio_params worker_ring(const struct settings *settings, unsigned int nworkers)
{
	return (struct taio_params){
		.engine = settings->engine,
		.entries = worker_ops(settings, nworkers, most_outgoing()),
		.helpers_max = settings->helpers,
		.flags = settings->reap_syscall ? TAIO_REAP_SYSCALL : 0,
	};
}

int worker_open(struct worker *w, unsigned int index, struct config *config, unsigned int nworkers,
		struct taio *ring, struct crew *crew, const struct service_env *env, char *why)
{
	const struct settings *settings = config->settings;
	int ret = -ENOMEM;

	w->host = (struct intake_host){
		.shard = &w->shard,
		.env = &w->env,
		.limit = intake_share(settings->max_connections, nworkers),
		.index = index,
		.nworkers = nworkers,
	};
	deadline_init(&w->shard);
	LIST_INIT(&w->shard.conns);
	hist_reset(&w->shard.cancel_us);
	w->shard.settings = settings;
	w->shard.ring = ring;
	w->shard.crew = crew;
	crew_tray_init(&w->shard.tray, wake, w);
	tally_book_init(&w->shard.book);
	roster_desk_init(&w->desk, wake, w);
	clock_update(&w->shard);
	snprintf(why, WORKER_WHY_LEN, "out of memory");
	w->shard.scratch = malloc(SCRATCH_SIZE);
	if (!w->shard.scratch)
		goto fini_tray;
	w->loop = ev_loop_new(EVFLAG_AUTO);
	if (!w->loop)
		goto free_scratch;
	w->env = (struct service_env){
		.ring = ring,
		.turn = &w->shard.turn,
		.loop = w->loop,
		.shard = &w->shard,
		.counters = &w->shard.counters,
		.resume = peer_resume,
		.draining = &w->shard.draining,
		.desk = &w->desk,
		.room = env->room,
		.metrics = env->metrics,
		.metrics_arg = env->metrics_arg,
		.access = &w->shard.access,
		.access_begin = conn_access_begin,
		.access_find = conn_access_find,
	};
	ret = intake_prepare(&w->next, &w->host, NULL, config, why);
	if (ret)
		goto destroy_loop;
	sem_init(&w->answered, 0, 0);
	watchers_start(w);
	return 0;
destroy_loop:
	ev_loop_destroy(w->loop);
free_scratch:
	free(w->shard.scratch);
fini_tray:
	roster_desk_fini(&w->desk);
	tally_book_fini(&w->shard.book);
	crew_tray_fini(&w->shard.tray);
	return ret;
}

static void *run(void *arg)
{
	struct worker *w = arg;

	clock_update(&w->shard);
	commit(w);
	ev_timer_init(&w->beat, on_beat, w->beat_s, w->beat_s);
	w->beat.data = w;
	ev_timer_start(w->loop, &w->beat);
	ev_run(w->loop, 0);
	roster_desk_close(&w->desk);
	serve_rosters(w);
	intake_close(w->intake);
	outq_trim();
	blocks_trim(&w->shard.blocks);
	memory_tell(&w->shard.memory, 0, 0);
	atomic_store(&w->done, true);
	w->on_done(w->on_done_arg);
	return NULL;
}

int worker_start(struct worker *w, double beat_s, bool has_probe)
{
	int ret = has_probe ? ring_probe_open(&w->shard.probe, OP_PROBE, &w->shard.batch, w->shard.ring) : 0;

	w->beat_s = beat_s;
	return ret ? ret : -pthread_create(&w->thread, NULL, run, w);
}

void worker_close(struct worker *w)
{
	abandon(w); /* if it has never run */
	sem_destroy(&w->answered);
	taio_close(w->shard.ring);
	ring_probe_close(&w->shard.probe);
	ev_loop_destroy(w->loop);
	crew_tray_fini(&w->shard.tray);
	roster_desk_fini(&w->desk);
	tally_book_fini(&w->shard.book);
	batch_fini(&w->shard.batch);
	blocks_trim(&w->shard.blocks);
	free(w->shard.scratch);
}
