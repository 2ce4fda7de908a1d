/* SPDX-License-Identifier: MIT */
/* The part of a directory of certificates that contexts see; the rest is in tls.h. */
#ifndef TLS_CERTS_H
#define TLS_CERTS_H

#include "tls_int.h"

/*
 * Has @ctx, whose app data is itself, choose among @certs by the name that a client asks for; the context
 * gets a reference. With @with_default also for clients that ask for none, or another. 0, or -errno with a
 * line in why[TLS_WHY_LEN].
 */
int tls_certs_use(struct tls_ctx *ctx, struct tls_certs *certs, bool with_default, char *why);

#endif
