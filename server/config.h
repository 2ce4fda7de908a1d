/* SPDX-License-Identifier: MIT */
/*
 * The configuration as read once: the command line, the file that it names, and the listeners' certificates.
 * Read, verified and compared on the main thread; immutable once workers know it.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "settings.h"

#include <stdatomic.h>

struct listener;
struct opt;
struct tls_ctx;
struct tls_ticket_keys;

struct config {
	struct settings *settings;
	struct tls_ctx **tls; /* one for each listener, NULL where it is plain */
	unsigned int ntls;
	atomic_uint refs; /* the daemon's, and one of each worker that uses it or is about to */
};

/* Functions that take @why return 0 or -errno, with a line in why[CONFIG_WHY_LEN]. */
#define CONFIG_WHY_LEN 512

/* Reads the file first, then the command line over it. On success the one reference on @config is the
 * caller's. */
int config_read(struct config **config, int argc, char **argv, char *why);

/* Parses the listeners of @config into an array of *n; the caller frees it with config_listeners_free(). */
int config_listeners(const struct config *config, struct listener **listeners, unsigned int *n, char *why);
void config_listeners_free(struct listener *listeners, unsigned int n);

/* Checks what can be checked without binding or starting anything: the engine, the listeners' words for their
 * services, the certificates. */
int config_verify(const struct config *config, const struct listener *listeners, unsigned int n, char *why);

/*
 * Loads the certificates of all listeners, or none: a half-loaded set must not be served. @keys are those of
 * their tickets, if the settings name no others.
 */
int config_load_tls(struct config *config, const struct listener *listeners, unsigned int n,
		    struct tls_ticket_keys *keys, char *why);

/* Calls @fn for each option whose value differs and that only a restart applies. */
void config_changes(const struct config *from, const struct config *to,
		    void (*fn)(void *arg, const struct opt *row), void *arg);

/* Any thread. The last reference frees it; NULL is allowed. */
struct config *config_get(struct config *config);
void config_put(struct config *config);

#endif
