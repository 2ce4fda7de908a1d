/* SPDX-License-Identifier: MIT */
/* The part of the ticket keys that contexts see; the rest is in tls.h. */
#ifndef TLS_KEYS_H
#define TLS_KEYS_H

#include "tls_int.h"

/*
 * Has @ctx, whose app data is itself, use @keys for its tickets; the context gets a reference. 0 or
 * -ENOMEM.
 */
int tls_keys_use(struct tls_ctx *ctx, struct tls_ticket_keys *keys);

#endif
