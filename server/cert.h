/* SPDX-License-Identifier: MIT */
/* The certificate that a listener serves, as a TLS context. Main thread. */
#ifndef CERT_H
#define CERT_H

#include <stdbool.h>

struct listener;
struct settings;
struct tls_certs;
struct tls_ctx;
struct tls_ticket_keys;

#define CERT_WHY_LEN 512

/* The directory that the listener's certificates are chosen from, its own or the general one; NULL: none. */
const char *cert_dir(const struct listener *l, const struct settings *settings);

/* Loads that of a directory (tls_certs_load()); logs what is bad, and adds to *nbad, unless that is NULL. */
int cert_dir_load(struct tls_certs **certs, const char *dir, const struct tls_certs *from, unsigned int *nbad,
		  char *why);

/* Does the listener serve what the user has named? Otherwise it is the self-signed one. */
bool cert_is_given(const struct listener *l, const struct settings *settings);

/* Checks what the listener wants of its clients, for who does not go on to cert_load(). */
int cert_check_clients(const struct listener *l, const struct settings *settings, char *why);

struct cert_parts {
	struct tls_certs *certs;      /* of its directory; NULL: it has none */
	struct tls_ticket_keys *keys; /* of its tickets; NULL: for a context that serves nobody */
	bool is_quiet;		      /* warnings are not logged */
};

/*
 * Loads the listener's own certificate, else the general one, else the self-signed one in the state
 * directory, which is made on the first run. On success the reference is the caller's; on failure -errno and
 * a line in why[CERT_WHY_LEN]. A warning (an expired certificate) is logged.
 */
int cert_load(const struct listener *l, const struct settings *settings, const struct cert_parts *parts,
	      struct tls_ctx **ctx, char *why);

#endif
