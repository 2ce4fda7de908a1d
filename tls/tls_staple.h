/* SPDX-License-Identifier: MIT */
/* OCSP responses (RFC 6960) from files, which a server sends with its certificate (RFC 6066, 8). */
#ifndef TLS_STAPLE_H
#define TLS_STAPLE_H

#include "tls_int.h"

/*
 * Reads the response of an authority (DER) and keeps it with @cert, for which it must be, and which nobody
 * else may use yet. 0, or -errno and why[TLS_WHY_LEN]; on success why is as it was, or a warning.
 */
int tls_staple_load(X509 *cert, const char *file, char *why);

/* Gives @cert, too, what @from has, if both are the same certificate and it has not expired. */
bool tls_staple_copy(X509 *cert, X509 *from);

/* Has @cert one that has expired? */
bool tls_staple_is_over(const X509 *cert);

/* Sends what a certificate has, while it is valid, to clients that ask for it. */
void tls_staple_use(SSL_CTX *ctx);

#endif
