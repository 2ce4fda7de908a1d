/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include "access_log.h"
#include "base/nofile.h"
#include "base/opt.h"
#include "config.h"
#include "listener.h"
#include "log.h"
#include "memory.h"
#include "notify.h"
#include "options.h"
#include "report.h"
#include "rotation.h"
#include "sockets.h"
#include "stats.h"
#include "tls/tls.h"
#include "upgrade.h"
#include "watchdog.h"
#include "worker.h"

#include <errno.h>
#include <ev.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum stage {
	STAGE_SERVING,
	STAGE_LEAVING,	/* a new program accepts; connections that are here go on */
	STAGE_DRAINING, /* those that are left finish what is under way */
};

/* How long the end waits for the access log. */
#define ACCESS_WAIT_MS 2000

struct daemon {
	int argc;
	char **argv;
	struct config *started; /* has the values that need a restart */
	struct config *current; /* the newest */
	struct crew *crew;	/* handshake-threads; NULL: none */
	struct worker *workers;
	unsigned int nworkers;
	struct stats_of stats;
	struct report_of report;
	struct roster_room room;
	struct ev_loop *loop;
	ev_signal signals[5];
	ev_async worker_done;
	struct watchdog watchdog;
	struct upgrade upgrade;
	bool reloads_again; /* asked for while an upgrade was under way */
	enum stage stage;
	bool has_successor;
	ev_timer leave;			     /* upgrade-timeout */
	struct rotation rotation;
};

static unsigned int processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned int)CPU_COUNT(&set) : 1;
}

/* --- files, log and status --- */

static void write_stats(struct daemon *d)
{
	const char *file = d->current->settings->stats_file;
	int ret = file ? stats_write(&d->stats, file) : 0;

	if (ret)
		log_warning("cannot write --stats-file %s: %s", file, strerror(-ret));
}

/* What was asked for has failed, and nothing has changed. */
static void fail(const char *what)
{
	log_error("%s", what);
	notify_unchanged(what);
}

/* Over a restart, the service manager keeps what listens. */
static void keep_listeners(const struct config *config)
{
	for (unsigned int i = 0; i < config->nlisteners; i++)
		sockets_keep(config->listeners[i].sockets);
}

static void forget_listeners(const struct config *gone_from, const struct config *next)
{
	for (unsigned int i = 0; i < gone_from->nlisteners; i++)
		if (!config_listener_at(next, gone_from->listeners[i].sockets))
			sockets_forget(gone_from->listeners[i].sockets);
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
		ret = config_load_tls(*next, d->current, d->rotation.keys, why);
	if (!ret)
		ret = config_prepare(*next, d->current, why);
	if (!ret)
		ret = config_open_access(*next, d->nworkers, why);
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
		ret = report_ports(*next);
	if (!ret)
		forget_listeners(d->current, *next);
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

	notify_reloading();
	if (change_over(d, &next)) {
		config_put(next);
		fail("reload failed: the previous configuration stays in effect");
		return;
	}
	keep_listeners(next);
	config_changes(d->started, next, warn_restart, NULL);
	d->current = next;
	log_init((enum log_level)next->settings->log_level);
	set_backlog(next);
	report_nofile(&d->report, next);
	if (config_outgoing(next) > config_outgoing(old))
		report_slots(&d->report, next);
	report_listeners(next, old);
	config_close_access(old);
	config_drop_tls(old); /* which may be the one that it started with, and stay */
	config_put(old);
	log_notice("configuration and certificates reloaded");
	notify_ready(d->current, d->workers, d->nworkers);
}

/* --- stop, and upgrade --- */

static void request_all(struct daemon *d, enum worker_request request)
{
	for (unsigned int i = 0; i < d->nworkers; i++)
		worker_request(&d->workers[i], request);
}

static void stop(struct daemon *d)
{
	enum worker_request request = d->stage == STAGE_DRAINING ? WORKER_STOP : WORKER_DRAIN;

	if (!d->has_successor && d->stage == STAGE_SERVING)
		notify_stopping();
	if (d->stage != STAGE_DRAINING)
		log_notice("stopping: finishing requests under way");
	upgrade_stop(&d->upgrade);
	d->stage = STAGE_DRAINING;
	request_all(d, request);
}

static void on_left(struct ev_loop *loop, ev_timer *timer, int revents)
{
	stop(timer->data);
}

/* Its connections go on, and nobody waits for this process but they. */
static void leave(struct daemon *d)
{
	double max_s = (double)d->current->settings->upgrade_us / 1e6;

	d->stage = STAGE_LEAVING;
	d->has_successor = true;
	watchdog_stop(&d->watchdog, d->loop);
	for (unsigned int i = 0; i < d->current->nlisteners; i++)
		sockets_leave_path(d->current->listeners[i].sockets);
	ev_timer_init(&d->leave, on_left, max_s, 0.);
	d->leave.data = d;
	if (max_s > 0)
		ev_timer_start(d->loop, &d->leave);
	request_all(d, WORKER_LEAVE);
}

static void fail_upgrade(const char *why)
{
	log_error("%s", why);
	fail("upgrade failed: the program from before goes on");
}

static void on_upgraded(void *arg, const char *why)
{
	struct daemon *d = arg;
	pid_t pid = d->upgrade.pid;
	bool again = d->reloads_again;

	d->reloads_again = false;
	if (!why) {
		notify_successor(pid);
		log_notice("process %d serves from here on; the connections of this one go on", (int)pid);
		leave(d);
		if (again)
			kill(pid, SIGHUP);
		return;
	}
	fail_upgrade(why);
	if (again)
		reload(d);
}

static void upgrade(struct daemon *d)
{
	const struct config *config = d->current;
	struct handover sockets = {0};
	unsigned char keys[TLS_TICKET_KEYS_LEN];
	char why[UPGRADE_WHY_LEN];
	int ret = handover_add_passed(&sockets);

	notify_reloading();
	tls_ticket_keys_give(d->rotation.keys, keys);
	for (unsigned int i = 0; i < config->nlisteners && !ret; i++)
		ret = sockets_hand_over(config->listeners[i].sockets, &sockets);
	if (ret)
		snprintf(why, sizeof(why), "cannot hand over the sockets: %s", strerror(-ret));
	else
		ret = upgrade_start(&d->upgrade, d->loop, &sockets, keys, sizeof(keys), on_upgraded, d, why);
	explicit_bzero(keys, sizeof(keys));
	handover_free(&sockets);
	if (ret) {
		fail_upgrade(why);
		return;
	}
	log_notice("%s has been replaced: starting it beside this process", d->upgrade.program);
}

/*
 * The end of this process may be the end of the service, unless there is a service manager that can be told of
 * another process.
 */
static void reload_or_upgrade(struct daemon *d)
{
	if (d->stage != STAGE_SERVING) /* it never becomes ready again */
		return;
	if (d->upgrade.pid)
		d->reloads_again = true;
	else if (!upgrade_is_due(&d->upgrade))
		reload(d);
	else if (getenv("NOTIFY_SOCKET"))
		upgrade(d);
	else {
		log_notice("%s has been replaced: a restart runs it", d->upgrade.program);
		reload(d);
	}
}

/* --- signals --- */

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int revents)
{
	struct daemon *d = watcher->data;

	switch (watcher->signum) {
	case SIGHUP:
		reload_or_upgrade(d);
		break;
	case SIGUSR1:
		write_stats(d);
		break;
	case SIGUSR2:
		access_log_reopen(d->current->access);
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
	sigaddset(&held, SIGUSR2);
	pthread_sigmask(how, &held, NULL);
}

static void signals_start(struct daemon *d)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 5; i++) {
		ev_signal_init(&d->signals[i], on_signal, numbers[i]);
		d->signals[i].data = d;
		ev_signal_start(d->loop, &d->signals[i]);
	}
	signals_hold(SIG_UNBLOCK);
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
	d->stats = (struct stats_of){.workers = d->workers, .nworkers = want, .started_s = time(NULL)};
	d->report = (struct report_of){.started = d->started, .workers = d->workers, .nworkers = want};
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
		ret = worker_start(&d->workers[i], beat_s, watchdog_is_set());
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
	report_slots(&d->report, d->current);
	ret = workers_start(d);
	if (ret)
		return ret;
	ret = report_ports(d->current);
	if (ret) {
		stop(d);
	} else {
		report_listeners(d->current, NULL);
		/* What follows the manager hears of its main process alone. */
		upgrade_tell_parent();
		handover_close_rest();
		keep_listeners(d->current);
		notify_ready(d->current, d->workers, d->nworkers);
	}
	watchdog_start(&d->watchdog, d->loop, d->workers, d->nworkers, d->crew);
	rotation_start(&d->rotation, d->loop);
	ev_run(d->loop, 0);
	for (unsigned int i = 0; i < d->nworkers; i++)
		pthread_join(d->workers[i].thread, NULL);
	config_close_access(d->current);
	access_log_wait(ACCESS_WAIT_MS);
	if (!d->has_successor) /* whose file it is */
		write_stats(d);
	log_notice("stopped");
	return ret;
}

static int start_config(struct daemon *d, unsigned int nworkers)
{
	char why[CONFIG_WHY_LEN];
	int ret = config_load_tls(d->current, NULL, d->rotation.keys, why);

	if (!ret)
		ret = config_open(d->current, NULL, nworkers, why);
	if (!ret)
		ret = config_prepare(d->current, NULL, why);
	if (!ret)
		ret = config_open_access(d->current, nworkers, why);
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
	ret = rotation_open(&d->rotation);
	if (!ret)
		ret = start_config(d, workers);
	if (!ret)
		ret = crew_open(d);
	if (!ret)
		ret = workers_open(d, workers);
	if (ret)
		return ret;
	report_nofile(&d->report, d->current);
	memory_measure();
	report_memory(&d->report, d->current);
	return serve(d);
}

int daemon_run(struct config *config, int argc, char **argv)
{
	struct daemon d = {.argc = argc, .argv = argv, .started = config_get(config), .current = config};
	int ret;

	signals_hold(SIG_BLOCK);
	upgrade_init(&d.upgrade, argv);
	ret = run(&d);
	upgrade_fini(&d.upgrade);
	config_close_access(d.current);
	if (ret) /* else serve() has waited */
		access_log_wait(ACCESS_WAIT_MS);
	crew_destroy(d.crew);
	for (unsigned int i = 0; i < d.nworkers; i++)
		worker_close(&d.workers[i]);
	free(d.room.desks);
	free(d.workers);
	config_put(d.current);
	config_put(d.started);
	rotation_close(&d.rotation);
	return ret;
}
