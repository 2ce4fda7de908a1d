/* SPDX-License-Identifier: MIT */
/*
 * Lists of ciphers and groups in OpenSSL's syntax. Main thread.
 *
 * OpenSSL ignores an unknown cipher beside a known one, so that a slip of the pen silently weakens or narrows
 * what is offered. Here each name has to be known.
 */
#include "tls_suites.h"

#include "tls_error.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

/* AES-128 first: with hardware AES it is the fastest, and its key schedule uses SHA-256. AEAD only. */
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_12                                                                                            \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"           \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"

#define ITEM_MAX 128

typedef int suites_set(SSL_CTX *ctx, const char *list);

/* SSL_CTX_set1_groups_list() is a macro. */
static int set_groups(SSL_CTX *ctx, const char *list)
{
	return SSL_CTX_set1_groups_list(ctx, (char *)(uintptr_t)list);
}

struct kind {
	suites_set *set;
	const char *separators;
	const char *modifiers; /* an item that begins with one is no name */
	const char *what;
};

static const struct kind ciphers = {SSL_CTX_set_cipher_list, ":, ;", "!-+@", "cipher of TLS 1.2"};
static const struct kind ciphersuites = {SSL_CTX_set_ciphersuites, ":", "", "cipher suite of TLS 1.3"};
static const struct kind groups = {set_groups, ":", "", "group"};

int tls_suites_default(SSL_CTX *ctx)
{
	return SSL_CTX_set_ciphersuites(ctx, SUITES_13) == 1 &&
			       SSL_CTX_set_cipher_list(ctx, SUITES_12) == 1 && set_groups(ctx, GROUPS) == 1
		       ? 0
		       : -ENOMEM;
}

/* Checks the names one by one, on a context of which only @kind matters. */
static int check_items(const struct kind *kind, SSL_CTX *ctx, const char *list, char *why)
{
	unsigned int n = 0;

	for (const char *at = list; *at;) {
		size_t len = strcspn(at, kind->separators);
		char item[ITEM_MAX];

		snprintf(item, sizeof(item), "%.*s", (int)len, at);
		if (len && !strchr(kind->modifiers, item[0])) {
			if (len >= ITEM_MAX || kind->set(ctx, item) != 1)
				return tls_why(why, -EINVAL, "'%s' is no %s that OpenSSL knows", item,
					       kind->what);
			n++;
		}
		at += len + (at[len] != '\0');
	}
	return n ? 0 : tls_why(why, -EINVAL, "'%.100s' names no %s", list, kind->what);
}

static int check(const struct kind *kind, const char *list, char *why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int err;

	if (!ctx)
		return tls_why(why, -ENOMEM, "out of memory");
	err = check_items(kind, ctx, list, why);
	if (!err && kind->set(ctx, list) != 1)
		err = tls_why(why, -EINVAL, "'%.100s' leaves no %s", list, kind->what);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return err;
}

int tls_check_ciphers(const char *list, char *why)
{
	return check(&ciphers, list, why);
}

int tls_check_ciphersuites(const char *list, char *why)
{
	return check(&ciphersuites, list, why);
}

int tls_check_groups(const char *list, char *why)
{
	return check(&groups, list, why);
}

static int set_list(const struct kind *kind, SSL_CTX *ctx, const char *list, char *why)
{
	int err = list ? check(kind, list, why) : 0;

	if (!err && list && kind->set(ctx, list) != 1)
		err = tls_why(why, -ENOMEM, "out of memory");
	return err;
}

int tls_suites_set(SSL_CTX *ctx, const struct tls_server_params *params, char *why)
{
	int err = set_list(&ciphers, ctx, params->ciphers, why);

	if (!err)
		err = set_list(&ciphersuites, ctx, params->ciphersuites, why);
	if (!err)
		err = set_list(&groups, ctx, params->groups, why);
	return err;
}
