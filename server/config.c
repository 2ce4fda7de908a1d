/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "access_log.h"
#include "aio/taio.h"
#include "cert.h"
#include "listener.h"
#include "options.h"
#include "sockets.h"
#include "tls/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(char *why)
{
	snprintf(why, CONFIG_WHY_LEN, "out of memory");
	return -ENOMEM;
}

static int settings_read(struct settings *settings, int argc, char **argv, char *why)
{
	int ret = opt_defaults(&taiod_program, settings);

	if (!ret)
		ret = opt_argv(&taiod_program, settings, argc, argv, why);
	if (ret > 0) {
		snprintf(why, CONFIG_WHY_LEN, "unexpected argument '%.400s'; see taiod --help", argv[1]);
		return -EINVAL;
	}
	if (ret || !settings->config)
		return ret;
	ret = opt_file(&taiod_program, settings, settings->config, why);
	if (!ret)
		ret = opt_argv(&taiod_program, settings, argc, argv, why);
	return ret < 0 ? ret : 0;
}

int config_read(struct config **config, int argc, char **argv, char *why)
{
	struct config *read = calloc(1, sizeof(*read));
	int ret;

	if (!read)
		return no_memory(why);
	atomic_init(&read->refs, 1);
	read->settings = settings_create();
	if (!read->settings) {
		free(read);
		return no_memory(why);
	}
	ret = settings_read(read->settings, argc, argv, why);
	if (ret) {
		config_put(read);
		return ret == -ENOMEM ? no_memory(why) : ret;
	}
	*config = read;
	return 0;
}

struct config *config_get(struct config *config)
{
	atomic_fetch_add(&config->refs, 1);
	return config;
}

static void listeners_free(struct config *config)
{
	for (unsigned int i = 0; i < config->nlisteners; i++) {
		listener_close(&config->listeners[i]);
		tls_ctx_put(config->tls[i]);
		tls_certs_put(config->certs[i]);
	}
	free(config->listeners);
	free(config->tls);
	free(config->certs);
}

void config_put(struct config *config)
{
	if (!config || atomic_fetch_sub(&config->refs, 1) != 1)
		return;
	config_close_access(config);
	listeners_free(config);
	opt_free(&taiod_program, config->settings);
	free(config->settings);
	free(config);
}

/* Of the listener at index @i as it is written, in a line or as a block. */
static unsigned int nsockets(const struct settings *settings, size_t i)
{
	size_t nlines = settings->listen.len;
	const char *text =
		i < nlines ? settings->listen.items[i] : settings->listeners.items[i - nlines].title;
	char where[256];

	snprintf(where, sizeof(where), "%.*s", i < nlines ? (int)strcspn(text, ",") : (int)sizeof(where),
		 text);
	return sockets_count(where);
}

/* A listener for each of the sockets that are handed over under one name. */
static int add_listeners(struct config *config, size_t i, unsigned int n, char *why)
{
	const struct settings *settings = config->settings;
	size_t nlines = settings->listen.len;

	for (unsigned int nth = 0; nth < n; nth++, config->nlisteners++) {
		struct listener *l = &config->listeners[config->nlisteners];
		int ret = i < nlines ? listener_parse(l, settings->listen.items[i], settings, why)
				     : listener_parse_block(l, &settings->listeners.items[i - nlines],
							    settings, why);

		if (ret)
			return ret;
		l->nth = nth;
	}
	return 0;
}

int config_listeners(struct config *config, char *why)
{
	const struct settings *settings = config->settings;
	size_t nwritten = settings->listen.len + settings->listeners.len, n = 0;
	int ret = 0;

	if (!nwritten) {
		snprintf(why, CONFIG_WHY_LEN,
			 "no address to listen on: give --listen ADDRESS:PORT,service=NAME, or set listen or "
			 "a "
			 "listener in the configuration file");
		return -EINVAL;
	}
	for (size_t i = 0; i < nwritten; i++)
		n += nsockets(settings, i);
	config->listeners = calloc(n, sizeof(*config->listeners));
	config->tls = calloc(n, sizeof(struct tls_ctx *));
	config->certs = calloc(n, sizeof(struct tls_certs *));
	if (!config->listeners || !config->tls || !config->certs)
		return no_memory(why);
	for (size_t i = 0; i < nwritten && !ret; i++)
		ret = add_listeners(config, i, nsockets(settings, i), why);
	return ret;
}

unsigned int config_outgoing(const struct config *config)
{
	unsigned int most = 0;

	for (unsigned int i = 0; i < config->nlisteners; i++)
		if (config->listeners[i].service->outgoing > most)
			most = config->listeners[i].service->outgoing;
	return most;
}

/* Refuses an unknown engine. One that does not work here fails later, at the start. */
static int verify_engine(const struct settings *settings, char *why)
{
	struct taio_params params = {.engine = settings->engine, .entries = 8};
	struct taio *ring;
	int ret = taio_open(&ring, &params, why);

	if (!ret)
		taio_close(ring);
	return ret == -EINVAL ? ret : 0;
}

/* The keys that the settings name; *keys stays as it is if there are none. */
static int load_ticket_keys(const struct settings *settings, struct tls_ticket_keys **keys, char *why)
{
	const struct opt_list *files = &settings->ticket_keys;
	char reason[TLS_WHY_LEN];
	int ret = files->len ? tls_ticket_keys_load(keys, files->items, files->len, reason) : 0;

	if (ret)
		snprintf(why, CONFIG_WHY_LEN, "tls-ticket-keys: %s", reason);
	return ret;
}

static bool is_any_port(const char *where)
{
	unsigned int port;
	char host[256];

	return !addr_split(where, host, sizeof(host), &port) && !port;
}

/* The kernel would spread connections over both. */
static int refuse_twice(const char *where, const char *other, char *why)
{
	snprintf(why, CONFIG_WHY_LEN,
		 "%.200s and %.200s are the same address: a listener needs one of its own", where, other);
	return -EINVAL;
}

static int verify_places(const struct config *config, char *why)
{
	const struct listener *l = config->listeners;

	for (unsigned int i = 0; i < config->nlisteners; i++)
		for (unsigned int k = 0; k < i && !is_any_port(l[i].where); k++)
			if (!strcmp(l[i].where, l[k].where) && l[i].nth == l[k].nth)
				return refuse_twice(l[i].where, l[k].where, why);
	return 0;
}

int config_verify(const struct config *config, const struct config *from, char *why)
{
	int ret = 0;

	if (!from || strcmp(from->settings->engine, config->settings->engine) != 0)
		ret = verify_engine(config->settings, why);
	if (!ret)
		ret = verify_places(config, why);
	for (unsigned int i = 0; i < config->nlisteners && !ret; i++)
		ret = listener_verify(&config->listeners[i], why);
	return ret;
}

/* --- sockets --- */

/* Where the listeners are to be; nothing for paths and sockets that are handed over. */
static int resolve(const struct config *config, union addr *wanted, char *why)
{
	const struct listener *l = config->listeners;

	for (unsigned int i = 0; i < config->nlisteners; i++) {
		int ret = sockets_kind_of(l[i].where) == SOCKETS_ADDRESS
				  ? addr_resolve(l[i].where, true, &wanted[i], why)
				  : 0;

		if (ret)
			return ret;
		for (unsigned int k = 0; k < i && wanted[i].sa.sa_family && addr_port(&wanted[i]); k++)
			if (addr_equal(&wanted[i], &wanted[k]))
				return refuse_twice(l[i].where, l[k].where, why);
	}
	return 0;
}

const struct listener *config_listener_at(const struct config *config, const struct sockets *sockets)
{
	for (unsigned int i = 0; config && i < config->nlisteners; i++)
		if (config->listeners[i].sockets == sockets)
			return &config->listeners[i];
	return NULL;
}

/* Ports that the kernel chose are all alike, so that the listener of the same specification comes first. */
static void keep(struct config *config, const struct config *from, const union addr *wanted, bool same_spec)
{
	for (unsigned int i = 0; i < config->nlisteners; i++) {
		struct listener *l = &config->listeners[i];

		for (unsigned int k = 0; k < from->nlisteners && !l->sockets; k++) {
			struct sockets *sockets = from->listeners[k].sockets;

			if (same_spec && strcmp(l->spec, from->listeners[k].spec) != 0)
				continue;
			if (sockets_are_at(sockets, l->where, l->nth, &wanted[i]) &&
			    !config_listener_at(config, sockets))
				l->sockets = sockets_get(sockets);
		}
	}
}

static int open_rest(struct config *config, unsigned int nworkers, char *why)
{
	for (unsigned int i = 0; i < config->nlisteners; i++) {
		struct listener *l = &config->listeners[i];
		int ret = l->sockets ? 0
				     : sockets_open(&l->sockets, l->where, l->nth, nworkers,
						    l->limits.backlog, why);

		if (ret)
			return ret;
	}
	return 0;
}

int config_open(struct config *config, const struct config *from, unsigned int nworkers, char *why)
{
	union addr *wanted = calloc(config->nlisteners, sizeof(*wanted));
	int ret = wanted ? resolve(config, wanted, why) : no_memory(why);

	if (!ret && from) {
		keep(config, from, wanted, true);
		keep(config, from, wanted, false);
	}
	if (!ret)
		ret = open_rest(config, nworkers, why);
	free(wanted);
	return ret;
}

/* --- words --- */

int config_prepare(struct config *config, const struct config *from, char *why)
{
	int ret = 0;

	for (unsigned int i = 0; i < config->nlisteners && !ret; i++) {
		const struct listener *l = &config->listeners[i];

		ret = listener_prepare(l, config_listener_at(from, l->sockets), why);
	}
	return ret;
}

/* --- TLS --- */

/* The set of directory @dir that one of the first @n listeners has; NULL: none. */
static struct tls_certs *certs_of(const struct config *config, unsigned int n, const char *dir)
{
	for (unsigned int i = 0; i < n; i++)
		if (config->certs[i] && !strcmp(tls_certs_dir(config->certs[i]), dir))
			return config->certs[i];
	return NULL;
}

static void set_certs(struct config *config, unsigned int i, struct tls_certs *certs)
{
	tls_certs_put(config->certs[i]);
	config->certs[i] = certs;
}

/* Listeners with the same directory share a set. What config_verify_tls() has read is not read again. */
static int load_dir(struct config *config, unsigned int i, const struct config *from, bool is_quiet,
		    char *why)
{
	const struct listener *l = &config->listeners[i];
	const char *dir = l->tls ? cert_dir(l, config->settings) : NULL;
	struct tls_certs *same = dir ? certs_of(config, i, dir) : NULL, *before = config->certs[i];
	int ret;

	if (same)
		set_certs(config, i, tls_certs_get(same));
	if (!dir || same)
		return 0;
	if (!before && from)
		before = certs_of(from, from->nlisteners, dir);
	ret = cert_dir_load(&same, dir, before, is_quiet ? NULL : &config->nbad, why);
	if (!ret)
		set_certs(config, i, same);
	return ret;
}

static int load_listener(struct config *config, unsigned int i, const struct config *from,
			 struct tls_ticket_keys *keys, bool is_quiet, char *why)
{
	const struct listener *l = &config->listeners[i];
	char reason[CERT_WHY_LEN];
	int ret = load_dir(config, i, from, is_quiet, reason);

	if (!ret && l->tls)
		ret = cert_load(l, config->settings, &(struct cert_parts){config->certs[i], keys, is_quiet},
				&config->tls[i], reason);
	if (ret)
		snprintf(why, CONFIG_WHY_LEN, "%.100s: %.400s", l->where, reason);
	return ret;
}

static void drop_contexts(struct config *config)
{
	for (unsigned int i = 0; i < config->nlisteners; i++) {
		tls_ctx_put(config->tls[i]);
		config->tls[i] = NULL;
	}
}

void config_drop_tls(struct config *config)
{
	drop_contexts(config);
	for (unsigned int i = 0; i < config->nlisteners; i++)
		set_certs(config, i, NULL);
}

/* The self-signed certificate is made at the start. */
static int verify_listener(struct config *config, unsigned int i, char *why)
{
	const struct listener *l = &config->listeners[i];
	char reason[CERT_WHY_LEN];
	int ret;

	if (!l->tls || cert_is_given(l, config->settings))
		return load_listener(config, i, NULL, NULL, !config->settings->check, why);
	ret = cert_check_clients(l, config->settings, reason);
	if (ret)
		snprintf(why, CONFIG_WHY_LEN, "%.100s: %.400s", l->where, reason);
	return ret;
}

int config_verify_tls(struct config *config, char *why)
{
	struct tls_ticket_keys *keys = NULL;
	int ret = load_ticket_keys(config->settings, &keys, why);

	tls_ticket_keys_put(keys);
	for (unsigned int i = 0; i < config->nlisteners && !ret; i++)
		ret = verify_listener(config, i, why);
	drop_contexts(config);
	return ret;
}

int config_load_tls(struct config *config, const struct config *from, struct tls_ticket_keys *keys, char *why)
{
	struct tls_ticket_keys *own = NULL;
	int ret = load_ticket_keys(config->settings, &own, why);

	for (unsigned int i = 0; i < config->nlisteners && !ret; i++)
		ret = load_listener(config, i, from, own ? own : keys, false, why);
	tls_ticket_keys_put(own);
	return ret;
}

int config_open_access(struct config *config, unsigned int nworkers, char *why)
{
	const struct settings *settings = config->settings;
	struct access_log_params params = {
		.path = settings->access_log,
		.format = settings->access_format,
		.queue = settings->access_queue,
		.nqueues = nworkers,
	};

	return params.path ? access_log_open(&config->access, &params, why) : 0;
}

void config_close_access(struct config *config)
{
	access_log_close(config->access);
	config->access = NULL;
}

void config_changes(const struct config *from, const struct config *to,
		    void (*fn)(void *arg, const struct opt *row), void *arg)
{
	for (const struct opt *row = taiod_program.table; row->name; row++)
		if (row->on_reload == OPT_RELOAD_RESTART && !opt_equal(row, from->settings, to->settings))
			fn(arg, row);
}
