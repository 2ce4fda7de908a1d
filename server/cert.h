/* SPDX-License-Identifier: MIT */
/* The certificate that a listener serves, as a TLS context. Main thread. */
#ifndef CERT_H
#define CERT_H

struct listener;
struct settings;
struct tls_ctx;
struct tls_ticket_keys;

#define CERT_WHY_LEN 512

/*
 * Loads the listener's own certificate, else the general one, else the self-signed one in the state
 * directory, which is made on the first run. On success the reference is the caller's; on failure -errno and
 * a line in why[CERT_WHY_LEN]. A warning (an expired certificate) is logged. @keys: of its tickets; NULL: for
 * a context that serves nobody.
 */
int cert_load(const struct listener *l, const struct settings *settings, struct tls_ticket_keys *keys,
	      struct tls_ctx **ctx, char *why);

#endif
