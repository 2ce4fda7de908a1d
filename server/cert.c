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

/* Has the listener certificates of its own? Then it uses no general one. */
static bool has_own(const struct listener *l)
{
	return l->cert || l->cert_dir;
}

const char *cert_dir(const struct listener *l, const struct settings *settings)
{
	return has_own(l) ? l->cert_dir : settings->cert_dir;
}

bool cert_is_given(const struct listener *l, const struct settings *settings)
{
	return has_own(l) || settings->cert || settings->cert_dir;
}

static void log_file(void *nbad, bool is_bad, const char *line)
{
	if (is_bad)
		log_error("%s", line);
	else
		log_warning("%s", line);
	*(unsigned int *)nbad += is_bad;
}

int cert_dir_load(struct tls_certs **certs, const char *dir, const struct tls_certs *from, unsigned int *nbad,
		  char *why)
{
	return tls_certs_load(certs, dir, from, nbad ? log_file : NULL, nbad, why);
}

static const char *either(const char *own, const char *general)
{
	return own ? own : general;
}

/* Sets what @params asks of clients. The lists of a listener's authorities are its own, too. */
static int ask_clients(const struct listener *l, const struct settings *settings,
		       struct tls_server_params *params, char *why)
{
	const char *ca = either(l->client_ca, settings->client_ca);
	const char *crl = either(l->client_crl, l->client_ca ? NULL : settings->client_crl);
	const char *verify = either(l->client_verify, settings->client_verify);
	bool is_off = verify && !strcmp(verify, "off");

	if (!ca && (crl || (verify && !is_off))) {
		snprintf(why, CERT_WHY_LEN, "%s needs client-ca=FILE", crl ? "client-crl" : "client-verify");
		return -EINVAL;
	}
	if (is_off)
		return 0;
	params->client_ca = ca;
	params->client_crl = crl;
	params->client_optional = verify && !strcmp(verify, "optional");
	return 0;
}

int cert_check_clients(const struct listener *l, const struct settings *settings, char *why)
{
	struct tls_server_params params = {0};
	int ret = ask_clients(l, settings, &params, why);

	return ret || !params.client_ca ? ret : tls_check_clients(params.client_ca, params.client_crl, why);
}

int cert_load(const struct listener *l, const struct settings *settings, const struct cert_parts *parts,
	      struct tls_ctx **ctx, char *why)
{
	char cert[4096], key[4096], alpn[SERVICE_ALPN_MAX];
	struct tls_server_params params = {
		.cert_file = has_own(l) ? l->cert : settings->cert,
		.key_file = has_own(l) ? l->key : settings->key,
		.certs = parts->certs,
		.min_version = either(l->tls_min, settings->tls_min),
		.ciphers = either(l->tls_ciphers, settings->tls_ciphers),
		.ciphersuites = either(l->tls_ciphersuites, settings->tls_ciphersuites),
		.groups = either(l->tls_groups, settings->tls_groups),
		.alpn = alpn_of(l, alpn),
		.keylog_file = settings->tls_keylog,
		.ticket_keys = parts->keys,
		.no_tickets = !settings->tls_tickets,
		.cache_sessions = settings->tls_cache,
		.kernel = (enum tls_kernel_use)settings->tls_kernel,
	};
	int ret = ask_clients(l, settings, &params, why);

	if (ret)
		return ret;
	if (!cert_is_given(l, settings)) {
		ret = self_signed(settings, cert, key, sizeof(cert), why);
		if (ret)
			return ret;
		params.cert_file = cert;
		params.key_file = key;
	}
	ret = tls_ctx_server(ctx, &params, why);
	if (!ret && why[0] && !parts->is_quiet)
		log_warning("%s: %s", l->where, why);
	return ret;
}
