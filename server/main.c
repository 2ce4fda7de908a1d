/* SPDX-License-Identifier: MIT */
/*
 * taiod: reads the configuration, binds, starts the workers, and then only listens to signals and to the
 * service manager. Everything about a connection happens in the workers.
 */
#include "listener.h"
#include "log.h"
#include "options.h"
#include "publish.h"
#include "stats.h"
#include "worker.h"

#include "tls/tls.h"

#include <errno.h>
#include <ev.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { EXIT_OK, EXIT_RUN, EXIT_USAGE };

/* Descriptors that are not connections: rings, loops, listeners, logs, cached files. */
#define SPARE_FDS 128

struct server {
	int argc;
	char **argv;
	struct generation *current;
	struct listener *listeners;
	unsigned int nlisteners;
	struct worker *workers;
	unsigned int nworkers;
	struct stats_of stats;
	struct ev_loop *loop;
	ev_signal signals[4];
	ev_async worker_done;
	ev_timer watchdog;
	uint64_t *beats_seen;
	bool stopping;
};

/* Says @why, unless @err is for want of memory: then @why may be empty. Returns @err. */
static int refuse(int err, const char *why)
{
	fprintf(stderr, "taiod: %s\n", err == -ENOMEM ? "no memory" : why);
	return err;
}

static int exit_status(int err)
{
	bool is_shortage = err == -ENOMEM || err == -EMFILE || err == -ENFILE;

	return is_shortage ? EXIT_RUN : EXIT_USAGE;
}

/* --- configuration --- */

static int settings_read(struct settings *settings, int argc, char **argv)
{
	char why[OPT_WHY_LEN];
	int ret = opt_defaults(&taiod_program, settings);

	if (!ret)
		ret = opt_argv(&taiod_program, settings, argc, argv, why);
	if (ret < 0)
		return refuse(ret, why);
	if (ret > 0) {
		snprintf(why, sizeof(why), "'%s' is one word too many; see taiod --help", argv[1]);
		return refuse(-EINVAL, why);
	}
	if (!settings->config)
		return 0;
	/* The file first, then the command line over it. */
	ret = opt_file(&taiod_program, settings, settings->config, why);
	if (!ret)
		ret = opt_argv(&taiod_program, settings, argc, argv, why);
	return ret < 0 ? refuse(ret, why) : 0;
}

static int listeners_parse(struct server *s, const struct settings *settings)
{
	char why[LISTENER_WHY_LEN];
	int ret;

	if (!settings->listen.len)
		return refuse(
			-EINVAL,
			"nothing to listen on: give --listen ADDRESS:PORT,service=NAME or listen in the "
			"configuration");
	s->listeners = calloc(settings->listen.len, sizeof(*s->listeners));
	if (!s->listeners)
		return refuse(-ENOMEM, "");
	for (s->nlisteners = 0; s->nlisteners < settings->listen.len; s->nlisteners++) {
		struct listener *l = &s->listeners[s->nlisteners];

		ret = listener_parse(l, settings->listen.items[s->nlisteners], why);
		if (ret)
			return refuse(ret, why);
		ret = listener_verify(l, settings, why);
		if (ret) {
			s->nlisteners++;
			return refuse(ret, why);
		}
	}
	return 0;
}

static int engine_check(const struct settings *settings)
{
	struct taio_params params = {.engine = settings->engine, .entries = 8};
	char why[TAIO_WHY_LEN];
	struct taio *ring;
	int ret = taio_open(&ring, &params, why);

	if (!ret)
		taio_close(ring);
	else if (ret == -EINVAL)
		return refuse(ret, why);
	return 0;
}

/* The contexts of all listeners, or none: a half-loaded set must not be served. */
static int contexts_load(struct server *s, struct generation *config)
{
	char why[LISTENER_WHY_LEN];
	int ret;

	config->tls = calloc(s->nlisteners, sizeof(struct tls_ctx *));
	if (!config->tls) {
		log_error("no memory");
		return -ENOMEM;
	}
	for (; config->ntls < s->nlisteners; config->ntls++) {
		const struct listener *l = &s->listeners[config->ntls];

		ret = l->tls ? listener_load_tls(l, config->settings, &config->tls[config->ntls], why) : 0;
		if (ret) {
			log_error("%s: %s", l->where, why);
			return ret;
		}
	}
	return 0;
}

static struct generation *generation_create(void)
{
	struct generation *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->settings = settings_create();
	if (config->settings)
		return config;
	free(config);
	return NULL;
}

static void generation_free(struct generation *config)
{
	if (!config)
		return;
	for (unsigned int i = 0; i < config->ntls; i++)
		tls_ctx_put(config->tls[i]);
	free(config->tls);
	opt_free(&taiod_program, config->settings);
	free(config->settings);
	free(config);
}

/* --- descriptors, processors --- */

static unsigned int processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned int)CPU_COUNT(&set) : 1;
}

static void raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Every worker has a site for each listener, which keeps files; what is attached to its ring may take two. */
static void judge_nofile(const struct server *s, const struct settings *settings)
{
	unsigned int each = 1 + taio_attach_fds(s->workers[0].shard.ring);
	rlim_t files = 0, want;
	struct rlimit limit;

	for (unsigned int i = 0; i < s->nlisteners; i++) {
		const struct service *service = s->listeners[i].service;

		if (service->max_files)
			files += (rlim_t)service->max_files(settings_of(settings, service)) * s->nworkers;
	}
	want = (settings->max_connections + files) * each + SPARE_FDS;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < want)
		log_warning("%u connections and %llu open files need %llu file descriptors, the limit is "
			    "%llu: raise "
			    "LimitNOFILE=",
			    settings->max_connections, (unsigned long long)files, (unsigned long long)want,
			    (unsigned long long)limit.rlim_cur);
}

/* --- what others see --- */

static int fill_ports(FILE *to, void *arg)
{
	const struct server *s = arg;
	char text[ADDR_TEXT_LEN];

	for (unsigned int i = 0; i < s->nlisteners; i++)
		fprintf(to, "%s %s %s\n", addr_text(&s->listeners[i].addr, text),
			s->listeners[i].service->name, s->listeners[i].tls ? "tls" : "tcp");
	return 0;
}

static void announce(struct server *s)
{
	char text[ADDR_TEXT_LEN];

	for (unsigned int i = 0; i < s->nlisteners; i++)
		log_notice("listening on %s: %s%s, %u worker%s", addr_text(&s->listeners[i].addr, text),
			   s->listeners[i].service->name, s->listeners[i].tls ? " over TLS" : "", s->nworkers,
			   s->nworkers == 1 ? "" : "s");
}

static void notify_status(struct server *s)
{
	sd_notifyf(0, "STATUS=%u listener%s, %u worker%s, engine %s", s->nlisteners,
		   s->nlisteners == 1 ? "" : "s", s->nworkers, s->nworkers == 1 ? "" : "s",
		   taio_name(s->workers[0].shard.ring));
}

static void write_stats(struct server *s)
{
	const char *file = s->current->settings->stats_file;
	int ret = file ? stats_write(&s->stats, file) : 0;

	if (ret)
		log_warning("cannot write %s: %s", file, strerror(-ret));
}

/* --- signals --- */

static void stop(struct server *s)
{
	enum worker_request request = s->stopping ? WORKER_STOP : WORKER_DRAIN;

	if (!s->stopping) {
		sd_notify(0, "STOPPING=1\nSTATUS=draining");
		log_notice("stopping: finishing what is under way");
	}
	s->stopping = true;
	for (unsigned int i = 0; i < s->nworkers; i++)
		worker_request(&s->workers[i], request);
}

static bool lists_equal(const struct opt_list *a, const struct opt_list *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

static void warn_restart(const struct settings *old, const struct settings *new)
{
	if (!lists_equal(&old->listen, &new->listen))
		log_warning("listen has changed: that needs a restart");
	if (strcmp(old->engine, new->engine) != 0 || old->workers != new->workers ||
	    old->ring_entries != new->ring_entries || old->max_connections != new->max_connections)
		log_warning("engine, workers, ring-entries or max-connections have changed: that needs a "
			    "restart");
}

static int reload(struct server *s, struct generation *next)
{
	return settings_read(next->settings, s->argc, s->argv) ? -EINVAL : contexts_load(s, next);
}

static void on_hup(struct server *s)
{
	struct generation *next = generation_create();

	sd_notify(0, "RELOADING=1");
	if (!next || reload(s, next)) {
		log_error("reload failed: all stays as it was");
		generation_free(next);
		sd_notify(0, "READY=1\nSTATUS=the last reload failed: all is as it was");
		return;
	}
	warn_restart(s->current->settings, next->settings);
	next->older = s->current;
	s->current = next;
	log_init((enum log_level)next->settings->log_level);
	for (unsigned int i = 0; i < s->nworkers; i++) {
		atomic_store(&s->workers[i].next, next);
		worker_request(&s->workers[i], WORKER_RELOAD);
	}
	log_notice("configuration and certificates are read again");
	sd_notify(0, "READY=1");
	notify_status(s);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int revents)
{
	struct server *s = watcher->data;

	switch (watcher->signum) {
	case SIGHUP:
		/* What drains does not come back: READY=1 would say so. */
		if (!s->stopping)
			on_hup(s);
		break;
	case SIGUSR1:
		write_stats(s);
		break;
	default:
		stop(s);
	}
}

static void signals_start(struct server *s)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 4; i++) {
		ev_signal_init(&s->signals[i], on_signal, numbers[i]);
		s->signals[i].data = s;
		ev_signal_start(s->loop, &s->signals[i]);
	}
}

/* --- watchdog: fed only while every worker's loop turns --- */

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct server *s = timer->data;
	bool alive = true;

	for (unsigned int i = 0; i < s->nworkers; i++) {
		uint64_t beats = atomic_load(&s->workers[i].beats);

		alive = alive && (beats != s->beats_seen[i] || atomic_load(&s->workers[i].done));
		s->beats_seen[i] = beats;
	}
	if (alive)
		sd_notify(0, "WATCHDOG=1");
	else
		log_error("a worker's loop does not turn: the watchdog is not fed");
}

static void watchdog_start(struct server *s)
{
	uint64_t period_us;
	double every;

	if (sd_watchdog_enabled(0, &period_us) <= 0)
		return;
	every = (double)period_us / 1e6 / 2;
	ev_timer_init(&s->watchdog, on_watchdog, every, every);
	s->watchdog.data = s;
	ev_timer_start(s->loop, &s->watchdog);
}

/* --- workers --- */

static void wake_main(void *arg)
{
	struct server *s = arg;

	ev_async_send(s->loop, &s->worker_done);
}

static void on_worker_done(struct ev_loop *loop, ev_async *async, int revents)
{
	struct server *s = async->data;

	for (unsigned int i = 0; i < s->nworkers; i++)
		if (!atomic_load(&s->workers[i].done))
			return;
	ev_break(loop, EVBREAK_ALL);
}

static int workers_open(struct server *s, const struct generation *config)
{
	const struct settings *settings = config->settings;
	struct service_env env = {.metrics = stats_metrics, .metrics_arg = &s->stats};
	char why[WORKER_WHY_LEN] = "";
	unsigned int want = settings->workers ? settings->workers : processors();

	s->workers = calloc(want, sizeof(*s->workers));
	s->beats_seen = calloc(want, sizeof(*s->beats_seen));
	if (!s->workers || !s->beats_seen) {
		log_error("no memory");
		return -ENOMEM;
	}
	s->stats = (struct stats_of){.workers = s->workers, .nworkers = want};
	for (s->nworkers = 0; s->nworkers < want; s->nworkers++) {
		int ret = worker_open(&s->workers[s->nworkers], s->nworkers, config, s->listeners,
				      s->nlisteners, want, &env, why);

		if (ret) {
			log_error("%s", why);
			return ret;
		}
		s->workers[s->nworkers].on_done = wake_main;
		s->workers[s->nworkers].on_done_arg = s;
	}
	return 0;
}

/* Signals are the main thread's: workers inherit a mask that blocks them all. */
static int workers_start(struct server *s)
{
	sigset_t all, before;
	unsigned int i;
	int ret = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (i = 0; i < s->nworkers && !ret; i++)
		ret = worker_start(&s->workers[i]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ret)
		return 0;
	log_error("cannot start a worker: %s", strerror(-ret));
	for (i--; i--;) {
		worker_request(&s->workers[i], WORKER_STOP);
		pthread_join(s->workers[i].thread, NULL);
	}
	return ret;
}

static int listeners_open(struct server *s, const struct settings *settings)
{
	unsigned int nworkers = settings->workers ? settings->workers : processors();
	char why[LISTENER_WHY_LEN];

	for (unsigned int i = 0; i < s->nlisteners; i++) {
		struct listener *l = &s->listeners[i];
		int ret = listener_open(l, nworkers, settings->backlog, why);

		if (ret) {
			log_error("%s", why);
			return ret;
		}
	}
	return 0;
}

static int publish_ports(struct server *s, const char *file)
{
	int ret = file ? publish(file, fill_ports, s) : 0;

	if (ret)
		log_error("cannot write --port-file %s: %s", file, strerror(-ret));
	return ret;
}

static void started(struct server *s)
{
	announce(s);
	sd_notify(0, "READY=1");
	notify_status(s);
}

static int serve(struct server *s)
{
	const struct settings *settings = s->current->settings;
	int ret;

	s->loop = ev_default_loop(EVFLAG_AUTO);
	if (!s->loop) {
		log_error("no event loop to be had");
		return -ENOSYS;
	}
	ev_async_init(&s->worker_done, on_worker_done);
	s->worker_done.data = s;
	ev_async_start(s->loop, &s->worker_done);
	signals_start(s);
	ret = workers_start(s);
	if (ret)
		return ret;
	ret = publish_ports(s, settings->port_file);
	if (ret)
		stop(s);
	else
		started(s);
	watchdog_start(s);
	ev_run(s->loop, 0);
	for (unsigned int i = 0; i < s->nworkers; i++)
		pthread_join(s->workers[i].thread, NULL);
	write_stats(s);
	log_notice("stopped");
	return ret;
}

static int run(struct server *s)
{
	const struct settings *settings = s->current->settings;
	int ret;

	raise_nofile();
	ret = contexts_load(s, s->current);
	if (!ret)
		ret = listeners_open(s, settings);
	if (!ret)
		ret = workers_open(s, s->current);
	if (!ret)
		judge_nofile(s, settings);
	if (!ret)
		ret = serve(s);
	for (unsigned int i = 0; i < s->nworkers; i++)
		worker_close(&s->workers[i]);
	return ret ? EXIT_RUN : EXIT_OK;
}

/* The actions that print something and end; -1: none was asked for. */
static int act(const struct settings *settings)
{
	if (settings->show_version)
		printf("taiod %s\n", TAIO_VERSION);
	else if (settings->show_man)
		opt_man(&taiod_program, stdout);
	else if (settings->show_help)
		opt_help(&taiod_program, stdout);
	else if (settings->sample_config)
		opt_sample(&taiod_program, stdout);
	else if (settings->dump_config)
		opt_dump(&taiod_program, settings, stdout);
	else
		return -1;
	return EXIT_OK;
}

static void server_free(struct server *s)
{
	struct generation *g;

	for (unsigned int i = 0; i < s->nlisteners; i++)
		listener_close(&s->listeners[i]);
	free(s->listeners);
	free(s->workers);
	free(s->beats_seen);
	while ((g = s->current)) {
		s->current = g->older;
		generation_free(g);
	}
}

int main(int argc, char **argv)
{
	struct server s = {.argc = argc, .argv = argv};
	int status, err;

	options_init();
	s.current = generation_create();
	err = s.current ? settings_read(s.current->settings, argc, argv) : refuse(-ENOMEM, "");
	status = exit_status(err);
	if (err)
		goto out;
	log_init((enum log_level)s.current->settings->log_level);
	status = act(s.current->settings);
	if (status >= 0)
		goto out;
	err = engine_check(s.current->settings);
	if (!err)
		err = listeners_parse(&s, s.current->settings);
	status = exit_status(err);
	if (err)
		goto out;
	if (s.current->settings->check) {
		printf("taiod: the configuration is valid\n");
		status = EXIT_OK;
		goto out;
	}
	status = run(&s);
out:
	server_free(&s);
	return status;
}
