/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "aio/taio.h"
#include "cert.h"
#include "listener.h"
#include "options.h"
#include "tls/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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

void config_put(struct config *config)
{
	if (!config || atomic_fetch_sub(&config->refs, 1) != 1)
		return;
	for (unsigned int i = 0; i < config->ntls; i++)
		tls_ctx_put(config->tls[i]);
	free(config->tls);
	opt_free(&taiod_program, config->settings);
	free(config->settings);
	free(config);
}

void config_listeners_free(struct listener *listeners, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		listener_close(&listeners[i]);
	free(listeners);
}

int config_listeners(const struct config *config, struct listener **listeners, unsigned int *n, char *why)
{
	const struct opt_list *listen = &config->settings->listen;
	struct listener *parsed;
	unsigned int i;

	if (!listen->len) {
		snprintf(why, CONFIG_WHY_LEN,
			 "no address to listen on: give --listen ADDRESS:PORT,service=NAME, or set listen in "
			 "the "
			 "configuration file");
		return -EINVAL;
	}
	parsed = calloc(listen->len, sizeof(*parsed));
	if (!parsed)
		return no_memory(why);
	for (i = 0; i < listen->len; i++) {
		int ret = listener_parse(&parsed[i], listen->items[i], why);

		if (ret) {
			config_listeners_free(parsed, i);
			return ret;
		}
	}
	*listeners = parsed;
	*n = i;
	return 0;
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

static int verify_listener(const struct listener *l, const struct settings *settings, char *why)
{
	struct tls_ctx *ctx;
	int ret = listener_verify(l, why);

	/* The self-signed certificate is made at the start. */
	if (ret || !l->tls || !(l->cert || settings->cert))
		return ret;
	ret = cert_load(l, settings, NULL, &ctx, why);
	if (!ret)
		tls_ctx_put(ctx);
	return ret;
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

int config_verify(const struct config *config, const struct listener *listeners, unsigned int n, char *why)
{
	struct tls_ticket_keys *keys = NULL;
	int ret = verify_engine(config->settings, why);

	if (!ret)
		ret = load_ticket_keys(config->settings, &keys, why);
	tls_ticket_keys_put(keys);
	for (unsigned int i = 0; i < n && !ret; i++)
		ret = verify_listener(&listeners[i], config->settings, why);
	return ret;
}

static int load_contexts(struct config *config, const struct listener *listeners, unsigned int n,
			 struct tls_ticket_keys *keys, char *why)
{
	char reason[CERT_WHY_LEN];

	config->tls = calloc(n, sizeof(*config->tls));
	if (!config->tls)
		return no_memory(why);
	for (; config->ntls < n; config->ntls++) {
		const struct listener *l = &listeners[config->ntls];
		int ret =
			l->tls ? cert_load(l, config->settings, keys, &config->tls[config->ntls], reason) : 0;

		if (ret) {
			snprintf(why, CONFIG_WHY_LEN, "%.100s: %.400s", l->where, reason);
			return ret;
		}
	}
	return 0;
}

int config_load_tls(struct config *config, const struct listener *listeners, unsigned int n,
		    struct tls_ticket_keys *keys, char *why)
{
	struct tls_ticket_keys *own = NULL;
	int ret = load_ticket_keys(config->settings, &own, why);

	if (!ret)
		ret = load_contexts(config, listeners, n, own ? own : keys, why);
	tls_ticket_keys_put(own);
	return ret;
}

void config_changes(const struct config *from, const struct config *to,
		    void (*fn)(void *arg, const struct opt *row), void *arg)
{
	for (const struct opt *row = taiod_program.table; row->name; row++)
		if (row->on_reload == OPT_RELOAD_RESTART && !opt_equal(row, from->settings, to->settings))
			fn(arg, row);
}
