/* SPDX-License-Identifier: MIT */
/* A certificate with its chain and its key, as the files hold them. */
#ifndef TLS_PAIR_H
#define TLS_PAIR_H

#include "tls_int.h"

struct tls_pair {
	X509 *cert;
	STACK_OF(X509) * chain; /* what follows it in its file */
	EVP_PKEY *key;
	bool lacks_staple; /* there is a file with one, which is bad */
};

/*
 * *file: what lies beside a certificate, as NAME.key does beside NAME.crt; NAME.crt.key will do, too. NULL:
 * there is nothing. The caller frees it. 0 or -ENOMEM.
 */
int tls_pair_beside(const char *cert_file, const char *suffix, char **file);

/*
 * Reads one; @key_file NULL: the key is in @cert_file; and the staple, NAME.ocsp, if there is one. On failure
 * -errno, a line in why[TLS_WHY_LEN], and nothing to free. On success why is empty, or a warning: a
 * certificate that is not valid now is still served.
 */
int tls_pair_load(struct tls_pair *pair, const char *cert_file, const char *key_file, char *why);

/* Could tls_pair_load() warn of it now? */
bool tls_pair_is_suspect(const struct tls_pair *pair);

/* The same certificate once more: it has references of its own. 0 or -ENOMEM. */
int tls_pair_copy(struct tls_pair *pair, const struct tls_pair *from);

void tls_pair_fini(struct tls_pair *pair);

/* Serves it in a context or session, beside those with keys of other types. 0, or -errno with why. */
int tls_pair_use_ctx(SSL_CTX *ctx, const struct tls_pair *pair, const char *cert_file, char *why);
bool tls_pair_use(SSL *ssl, const struct tls_pair *pair);

#endif
