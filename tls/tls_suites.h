/* SPDX-License-Identifier: MIT */
/* The ciphers and groups of a context; those that the user has named are checked by tls.h's functions. */
#ifndef TLS_SUITES_H
#define TLS_SUITES_H

#include "tls_int.h"

/* Sets the choice that is the same for all contexts. 0 or -ENOMEM. */
int tls_suites_default(SSL_CTX *ctx);

/* Sets what @params names in its place. 0, or -EINVAL with a line in why[TLS_WHY_LEN]. */
int tls_suites_set(SSL_CTX *ctx, const struct tls_server_params *params, char *why);

#endif
