/* SPDX-License-Identifier: MIT */
#include "cert.h"

#include "listener.h"
#include "log.h"
#include "settings.h"
#include "tls/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF_SIGNED_DAYS 825

/* $STATE_DIRECTORY is what systemd's StateDirectory= sets; it may list several. */
static int state_path(const struct settings *settings, const char *name, char *path, size_t size)
{
	const char *dir = settings->state_dir, *env = getenv("STATE_DIRECTORY"), *home = getenv("HOME");
	int n;

	if (dir)
		n = snprintf(path, size, "%s/%s", dir, name);
	else if (env)
		n = snprintf(path, size, "%.*s/%s", (int)strcspn(env, ":"), env, name);
	else if (geteuid() == 0)
		n = snprintf(path, size, "/var/lib/taiod/%s", name);
	else
		n = snprintf(path, size, "%s/.local/state/taiod/%s", home ? home : "/", name);
	return n < (int)size ? 0 : -ENAMETOOLONG;
}

/* Every directory above the last slash of @path. */
static int make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int ret;

		*slash = '\0';
		ret = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (ret)
			return ret;
	}
	return 0;
}

static int self_signed(const struct settings *settings, char *cert, char *key, size_t size, char *why)
{
	char host[256] = "localhost";
	int ret = state_path(settings, "self-signed.crt", cert, size);

	if (!ret)
		ret = state_path(settings, "self-signed.key", key, size);
	if (!ret && access(cert, F_OK) == 0 && access(key, F_OK) == 0)
		return 0;
	if (!ret)
		ret = make_parents(cert);
	if (ret) {
		snprintf(why, CERT_WHY_LEN,
			 "cannot keep a certificate at %.200s: %s; set --state-dir, or --cert and --key",
			 cert, strerror(-ret));
		return ret;
	}
	gethostname(host, sizeof(host) - 1);
	ret = tls_self_signed(cert, key, host, SELF_SIGNED_DAYS, why);
	if (!ret)
		log_notice("made a self-signed certificate for %s: %s", host, cert);
	return ret;
}

/* Uses text[SERVICE_ALPN_MAX] if need be. */
static const char *alpn_of(const struct listener *l, char *text)
{
	if (!l->service->alpn_of)
		return l->service->alpn;
	return l->service->alpn_of(l->words, text) ? text : NULL;
}

int cert_load(const struct listener *l, const struct settings *settings, struct tls_ticket_keys *keys,
	      struct tls_ctx **ctx, char *why)
{
	char cert[4096], key[4096], alpn[SERVICE_ALPN_MAX];
	struct tls_server_params params = {
		.cert_file = l->cert ? l->cert : settings->cert,
		.key_file = l->cert ? l->key : settings->key,
		.min_version = l->tls_min ? l->tls_min : settings->tls_min,
		.alpn = alpn_of(l, alpn),
		.keylog_file = settings->tls_keylog,
		.ticket_keys = keys,
	};
	int ret;

	if (!params.cert_file) {
		ret = self_signed(settings, cert, key, sizeof(cert), why);
		if (ret)
			return ret;
		params.cert_file = cert;
		params.key_file = key;
	}
	ret = tls_ctx_server(ctx, &params, why);
	if (!ret && why[0])
		log_warning("%s: %s", l->where, why);
	return ret;
}
