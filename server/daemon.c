/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include "base/nofile.h"
#include "base/opt.h"
#include "config.h"
#include "listener.h"
#include "log.h"
#include "memory.h"
#include "options.h"
#include "publish.h"
#include "server/conn/conn.h"
#include "sockets.h"
#include "stats.h"
#include "tls/tls.h"
#include "watchdog.h"
#include "worker.h"

#include <errno.h>
#include <ev.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* Descriptors that are not connections: rings, loops, listeners, logs. */
#define SPARE_FDS 128

struct daemon {
	int argc;
	char **argv;
	struct config *started; /* has the values that need a restart */
	struct config *current; /* the newest */
	struct crew *crew;	/* handshake-threads; NULL: none */
	struct worker *workers;
	unsigned int nworkers;
	struct stats_of stats;
	struct roster_room room;
	struct ev_loop *loop;
	ev_signal signals[4];
	ev_async worker_done;
	struct watchdog watchdog;
	struct tls_ticket_keys *ticket_keys; /* for configurations that name none: they outlive reloads */
	ev_timer rotation;		     /* of those keys */
	bool stopping;
};

static unsigned int processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned int)CPU_COUNT(&set) : 1;
}

/* Each worker has a site per listener, which keeps files open; a descriptor attached to its ring may take
 * two. */
static void check_nofile(const struct daemon *d)
{
	const struct config *config = d->current;
	const struct settings *settings = d->started->settings;
	unsigned int each = 1 + taio_attach_fds(d->workers[0].shard.ring);
	uint64_t files = 0, connections, want, limit = nofile_raise();
	unsigned int outgoing = config_outgoing(config);

	for (unsigned int i = 0; i < config->nlisteners; i++) {
		const struct listener *l = &config->listeners[i];

		if (l->service->max_files)
			files += (uint64_t)l->service->max_files(l->options) * d->nworkers;
	}
	connections = (uint64_t)settings->max_connections * (1 + outgoing);
	want = (connections + files) * each + SPARE_FDS;
	if (limit < want)
		log_warning(
			"%llu connections%s and %llu cached files need %llu file descriptors, but the limit "
			"is %llu: raise LimitNOFILE=, or lower max-connections or file-cache",
			(unsigned long long)connections, outgoing ? ", those to backends included," : "",
			(unsigned long long)files, (unsigned long long)want, (unsigned long long)limit);
}

/* At the start, when there are no connections. */
static void check_memory(const struct daemon *d)
{
	uint64_t most = d->current->settings->max_memory, used = memory_base() + tls_memory();

	if (most && most < used + d->nworkers * 2 * CONN_HANDSHAKE_MEMORY)
		log_warning(
			"max-memory is %llu bytes, and taiod takes %llu without any connection: raise it, "
			"for each worker may serve no more than one",
			(unsigned long long)most, (unsigned long long)used);
}

/* --- files, log and status --- */

static int fill_ports(FILE *to, void *arg)
{
	const struct config *config = arg;
	char text[SOCKETS_TEXT_LEN];

	for (unsigned int i = 0; i < config->nlisteners; i++) {
		const struct listener *l = &config->listeners[i];

		fprintf(to, "%s %s %s\n", sockets_text(l->sockets, text), l->service->name,
			l->tls ? "tls" : "tcp");
	}
	return 0;
}

static int publish_ports(struct config *config)
{
	const char *file = config->settings->port_file;
	int ret = file ? publish(file, fill_ports, config) : 0;

	if (ret)
		log_error("cannot write --port-file %s: %s", file, strerror(-ret));
	return ret;
}

static void write_stats(struct daemon *d)
{
	const char *file = d->current->settings->stats_file;
	int ret = file ? stats_write(&d->stats, file) : 0;

	if (ret)
		log_warning("cannot write --stats-file %s: %s", file, strerror(-ret));
}

/* Those of @config that are new or something else than in @from (NULL: none), and those of @from that are
 * gone. */
static void log_listeners(const struct daemon *d, const struct config *config, const struct config *from)
{
	char text[SOCKETS_TEXT_LEN];

	for (unsigned int i = 0; from && i < from->nlisteners; i++)
		if (!config_listener_at(config, from->listeners[i].sockets))
			log_notice("no longer listening on %s",
				   sockets_text(from->listeners[i].sockets, text));
	for (unsigned int i = 0; i < config->nlisteners; i++) {
		const struct listener *l = &config->listeners[i], *was = config_listener_at(from, l->sockets);

		if (was && was->service == l->service && was->tls == l->tls)
			continue;
		log_notice("listening on %s: %s%s, %u worker%s", sockets_text(l->sockets, text),
			   l->service->name, l->tls ? " over TLS" : "", sockets_acceptors(l->sockets),
			   sockets_acceptors(l->sockets) == 1 ? "" : "s");
	}
}

/* How many slots the workers may come to need, and whether there are so many. max-connections is that of the
 * start. */
static void log_slots(const struct daemon *d)
{
	const struct settings *settings = d->started->settings;
	unsigned int outgoing = config_outgoing(d->current);
	struct taio_slots slots;
	unsigned long wanted = (unsigned long)d->nworkers * worker_ops(settings, d->nworkers, outgoing),
		      have = 0;
	char text[160];

	if (!taio_takes_slots(d->workers[0].shard.ring) || taio_slots(&slots, false))
		return;
	for (unsigned int i = 0; i < d->nworkers; i++)
		have += taio_capacity(d->workers[i].shard.ring);
	if ((long)(wanted - have) <= slots.max - slots.taken) {
		taio_slots_text(&slots, text, sizeof(text));
		log_info("may need up to %lu slots: %s", wanted, text);
		return;
	}
	taio_slots(&slots, true);
	taio_slots_text(&slots, text, sizeof(text));
	log_warning(
		"%u connections%s may need %lu slots, two each: %s; beyond what is free, connections wait "
		"or are refused (when-full); raise fs.aio-max-nr or lower max-connections",
		settings->max_connections, outgoing ? ", and as many to backends," : "", wanted, text);
}

static void notify_ready(const struct daemon *d)
{
	unsigned int n = d->current->nlisteners;

	sd_notify(0, "READY=1");
	sd_notifyf(0, "STATUS=%u listener%s, %u worker%s, engine %s", n, n == 1 ? "" : "s", d->nworkers,
		   d->nworkers == 1 ? "" : "s", taio_name(d->workers[0].shard.ring));
}

/* --- reload --- */

static void warn_restart(void *arg, const struct opt *row)
{
	log_warning("%s has changed: this needs a restart", row->name);
}

static int reload_read(struct daemon *d, struct config **next, char *why)
{
	int ret = config_read(next, d->argc, d->argv, why);

	if (!ret)
		ret = config_listeners(*next, why);
	if (!ret)
		ret = config_verify(*next, d->current, why);
	if (!ret)
		ret = config_open(*next, d->current, d->nworkers, why);
	if (!ret)
		ret = config_load_tls(*next, d->current, d->ticket_keys, why);
	if (!ret)
		ret = config_prepare(*next, d->current, why);
	return ret;
}

/*
 * On failure some may be prepared. This and the commit wait for a turn of each loop; the watchdog, which is
 * not fed meanwhile, ends a wait for one that is stuck.
 */
static int workers_prepare(struct daemon *d, struct config *next, char *why)
{
	int ret = 0;

	for (unsigned int i = 0; i < d->nworkers; i++)
		worker_prepare(&d->workers[i], next);
	for (unsigned int i = 0; i < d->nworkers; i++) {
		int failed = worker_prepared(&d->workers[i], why);

		ret = ret ? ret : failed;
	}
	return ret;
}

/* Everything that may fail comes before anything changes. All workers have changed over when it returns 0. */
static int change_over(struct daemon *d, struct config **next)
{
	char why[CONFIG_WHY_LEN];
	int ret = reload_read(d, next, why);

	if (ret) {
		log_error("%s", why);
		return ret;
	}
	ret = workers_prepare(d, *next, why);
	if (ret)
		log_error("%s", why);
	else
		ret = publish_ports(*next);
	for (unsigned int i = 0; i < d->nworkers; i++)
		worker_request(&d->workers[i], ret ? WORKER_ABORT : WORKER_COMMIT);
	for (unsigned int i = 0; i < d->nworkers && !ret; i++)
		worker_committed(&d->workers[i]);
	return ret;
}

static void set_backlog(const struct config *config)
{
	for (unsigned int i = 0; i < config->nlisteners; i++)
		sockets_set_backlog(config->listeners[i].sockets, config->listeners[i].limits.backlog);
}

static void reload(struct daemon *d)
{
	struct config *next = NULL, *old = d->current;

	sd_notify(0, "RELOADING=1");
	if (change_over(d, &next)) {
		log_error("reload failed: the previous configuration stays in effect");
		config_put(next);
		sd_notify(0, "READY=1\nSTATUS=reload failed: the previous configuration stays in effect");
		return;
	}
	config_changes(d->started, next, warn_restart, NULL);
	d->current = next;
	log_init((enum log_level)next->settings->log_level);
	set_backlog(next);
	check_nofile(d);
	if (config_outgoing(next) > config_outgoing(old))
		log_slots(d);
	log_listeners(d, next, old);
	config_drop_tls(old); /* which may be the one that it started with, and stay */
	config_put(old);
	log_notice("configuration and certificates reloaded");
	notify_ready(d);
}

/* --- signals --- */

static void stop(struct daemon *d)
{
	enum worker_request request = d->stopping ? WORKER_STOP : WORKER_DRAIN;

	if (!d->stopping) {
		sd_notify(0, "STOPPING=1\nSTATUS=draining");
		log_notice("stopping: finishing requests under way");
	}
	d->stopping = true;
	for (unsigned int i = 0; i < d->nworkers; i++)
		worker_request(&d->workers[i], request);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int revents)
{
	struct daemon *d = watcher->data;

	switch (watcher->signum) {
	case SIGHUP:
		/* Once draining, the daemon never becomes ready again. */
		if (!d->stopping)
			reload(d);
		break;
	case SIGUSR1:
		write_stats(d);
		break;
	default:
		stop(d);
	}
}

/* @how SIG_BLOCK: a start may take its time, and those that are to end nothing wait. Or SIG_UNBLOCK. */
static void signals_hold(int how)
{
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGHUP);
	sigaddset(&held, SIGUSR1);
	pthread_sigmask(how, &held, NULL);
}

static void signals_start(struct daemon *d)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 4; i++) {
		ev_signal_init(&d->signals[i], on_signal, numbers[i]);
		d->signals[i].data = d;
		ev_signal_start(d->loop, &d->signals[i]);
	}
	signals_hold(SIG_UNBLOCK);
}

/* --- keys of session tickets --- */

static int ticket_keys_make(struct daemon *d)
{
	char why[TLS_WHY_LEN];
	int ret = tls_ticket_keys_random(&d->ticket_keys, why);

	if (ret)
		log_error("%s", why);
	return ret;
}

static void on_rotation(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct daemon *d = timer->data;

	if (tls_ticket_keys_rotate(d->ticket_keys))
		log_warning("cannot generate a ticket key; the current one stays in use");
}

static void rotation_start(struct daemon *d)
{
	ev_timer_init(&d->rotation, on_rotation, TLS_TICKET_LIFETIME_S, TLS_TICKET_LIFETIME_S);
	d->rotation.data = d;
	ev_timer_start(d->loop, &d->rotation);
}

/* --- workers --- */

static void wake_main(void *arg)
{
	struct daemon *d = arg;

	ev_async_send(d->loop, &d->worker_done);
}

static void on_worker_done(struct ev_loop *loop, ev_async *async, int revents)
{
	struct daemon *d = async->data;

	for (unsigned int i = 0; i < d->nworkers; i++)
		if (!atomic_load(&d->workers[i].done))
			return;
	ev_break(loop, EVBREAK_ALL);
}

/* All of one engine: with auto, the first of which there can be a ring for each worker. */
static int rings_open(const struct daemon *d, struct taio **rings, unsigned int n)
{
	struct taio_params params = worker_ring(d->current->settings, n);
	char why[TAIO_WHY_LEN] = "";
	int ret = taio_open_rings(rings, n, &params, why);

	if (ret)
		log_error("%s", why);
	else if (*why)
		log_notice("engine %s", why);
	return ret;
}

static int crew_open(struct daemon *d)
{
	unsigned int n = d->current->settings->handshake_threads;
	int ret = n ? crew_create(&d->crew, n) : 0;

	if (ret)
		log_error("cannot start %u handshake thread%s: %s%s", n, n == 1 ? "" : "s", strerror(-ret),
			  ret == -EAGAIN ? "; raise ulimit -u, or TasksMax of the systemd unit" : "");
	return ret;
}

/* Makes a worker of each ring. Those that are left after a failure are closed. */
static int workers_make(struct daemon *d, struct taio **rings, unsigned int n)
{
	struct service_env env = {.metrics = stats_metrics, .metrics_arg = &d->stats, .room = &d->room};
	char why[WORKER_WHY_LEN] = "";
	int ret = 0;

	for (; d->nworkers < n; d->nworkers++) {
		struct worker *w = &d->workers[d->nworkers];

		ret = worker_open(w, d->nworkers, d->current, n, rings[d->nworkers], d->crew, &env, why);
		if (ret)
			break;
		d->room.desks[d->room.n++] = &w->desk;
		w->on_done = wake_main;
		w->on_done_arg = d;
	}
	if (ret)
		log_error("%s", why);
	for (unsigned int i = d->nworkers; i < n; i++)
		taio_close(rings[i]);
	return ret;
}

static int workers_open(struct daemon *d, unsigned int want)
{
	struct taio **rings = calloc(want, sizeof(struct taio *));
	int ret = -ENOMEM;

	d->workers = calloc(want, sizeof(*d->workers));
	d->room.desks = calloc(want, sizeof(struct roster_desk *));
	if (!rings || !d->workers || !d->room.desks) {
		log_error("out of memory");
		goto free_rings;
	}
	d->stats = (struct stats_of){.workers = d->workers, .nworkers = want};
	ret = rings_open(d, rings, want);
	if (!ret)
		ret = workers_make(d, rings, want);
free_rings:
	free(rings);
	return ret;
}

/* Signals go to the main thread: workers inherit a mask that blocks them all. */
static int workers_start(struct daemon *d)
{
	double beat_s = watchdog_beat();
	sigset_t all, before;
	unsigned int i;
	int ret = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (i = 0; i < d->nworkers && !ret; i++)
		ret = worker_start(&d->workers[i], beat_s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ret)
		return 0;
	log_error("cannot start a worker: %s", strerror(-ret));
	for (i--; i--;) {
		worker_request(&d->workers[i], WORKER_STOP);
		pthread_join(d->workers[i].thread, NULL);
	}
	return ret;
}

/* --- life --- */

static int loop_open(struct daemon *d)
{
	d->loop = ev_default_loop(EVFLAG_AUTO);
	if (!d->loop) {
		log_error("cannot create an event loop");
		return -ENOSYS;
	}
	ev_async_init(&d->worker_done, on_worker_done);
	d->worker_done.data = d;
	ev_async_start(d->loop, &d->worker_done);
	signals_start(d);
	return 0;
}

static int serve(struct daemon *d)
{
	int ret = loop_open(d);

	if (ret)
		return ret;
	log_slots(d);
	ret = workers_start(d);
	if (ret)
		return ret;
	ret = publish_ports(d->current);
	if (ret) {
		stop(d);
	} else {
		log_listeners(d, d->current, NULL);
		notify_ready(d);
	}
	watchdog_start(&d->watchdog, d->loop, d->workers, d->nworkers, d->crew);
	rotation_start(d);
	ev_run(d->loop, 0);
	for (unsigned int i = 0; i < d->nworkers; i++)
		pthread_join(d->workers[i].thread, NULL);
	write_stats(d);
	log_notice("stopped");
	return ret;
}

static int start_config(struct daemon *d, unsigned int nworkers)
{
	char why[CONFIG_WHY_LEN];
	int ret = config_load_tls(d->current, NULL, d->ticket_keys, why);

	if (!ret)
		ret = config_open(d->current, NULL, nworkers, why);
	if (!ret)
		ret = config_prepare(d->current, NULL, why);
	if (ret)
		log_error("%s", why);
	return ret;
}

static int run(struct daemon *d)
{
	unsigned int workers = d->current->settings->workers;
	int ret;

	workers = workers ? workers : processors();
	nofile_raise();
	ret = ticket_keys_make(d);
	if (!ret)
		ret = start_config(d, workers);
	if (!ret)
		ret = crew_open(d);
	if (!ret)
		ret = workers_open(d, workers);
	if (ret)
		return ret;
	check_nofile(d);
	memory_measure();
	check_memory(d);
	return serve(d);
}

int daemon_run(struct config *config, int argc, char **argv)
{
	struct daemon d = {.argc = argc, .argv = argv, .started = config_get(config), .current = config};
	int ret;

	signals_hold(SIG_BLOCK);
	ret = run(&d);
	crew_destroy(d.crew);
	for (unsigned int i = 0; i < d.nworkers; i++)
		worker_close(&d.workers[i]);
	free(d.room.desks);
	free(d.workers);
	config_put(d.current);
	config_put(d.started);
	tls_ticket_keys_put(d.ticket_keys);
	return ret;
}
