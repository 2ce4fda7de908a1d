/* SPDX-License-Identifier: MIT */
/* Whose certificates a server takes from its clients, and what a certificate is called. */
#ifndef TLS_TRUST_H
#define TLS_TRUST_H

#include "tls_int.h"

/*
 * Asks clients for certificates, as @params says: nothing is done without params->client_ca. Adds to @digest,
 * if it is not NULL, what a client has to satisfy: a session made under other conditions must not be resumed.
 * 0, or -errno with a line in why[TLS_WHY_LEN]; on success why is as it was, or a warning.
 */
int tls_trust_clients(SSL_CTX *ctx, const struct tls_server_params *params, EVP_MD_CTX *digest, char *why);

/* The common name of the subject, cut to @size; "" for none, or one with a zero byte in it. */
void tls_trust_common_name(X509 *cert, char *text, size_t size);
/* The same, but all of the subject instead of none. */
void tls_trust_name(X509 *cert, char *text, size_t size);

#endif
