/* SPDX-License-Identifier: MIT */
/*
 * The configuration as read once: the command line, the file that it names, and what its listeners are made
 * of: sockets and certificates. Made and compared on the main thread; immutable once workers know it.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "settings.h"

#include <stdatomic.h>

struct access_log;
struct listener;
struct opt;
struct sockets;
struct tls_certs;
struct tls_ctx;
struct tls_ticket_keys;

struct config {
	struct settings *settings;
	struct listener *listeners;
	struct tls_ctx **tls;	  /* one for each listener, NULL where it is plain */
	struct tls_certs **certs; /* of each listener's directory, NULL where there is none */
	struct access_log *access; /* NULL: there is none */
	unsigned int nlisteners;
	unsigned int nbad; /* files of certificates in these directories that cannot be used */
	atomic_uint refs;  /* the daemon's, those of the workers, and one of each endpoint (endpoint.h) */
};

/* Functions that take @why return 0 or -errno, with a line in why[CONFIG_WHY_LEN]. */
#define CONFIG_WHY_LEN OPT_WHY_LEN

/* Reads the file first, then the command line over it. On success the one reference on @config is the
 * caller's. */
int config_read(struct config **config, int argc, char **argv, char *why);

/* Connections that a session of a listener opens at most, at one time. */
unsigned int config_outgoing(const struct config *config);

/* Parses the listeners; without any, the configuration is none to serve with. */
int config_listeners(struct config *config, char *why);

/*
 * Checks what can be checked without binding or starting anything: the engine, unless it is that of @from
 * (NULL: none), and the listeners' words for their services.
 */
int config_verify(const struct config *config, const struct config *from, char *why);

/*
 * The same for certificates and keys: for those who do not go on to config_load_tls(). What is bad but does
 * not keep the others from being served is logged if this is all that is asked for (-t).
 */
int config_verify_tls(struct config *config, char *why);

/* After another has taken its place: endpoints that still use its contexts have references of their own. */
void config_drop_tls(struct config *config);

/*
 * Gives each listener its sockets, one for each worker: those that @from (NULL: none) has at this address, or
 * new ones. Nothing is taken from @from.
 */
int config_open(struct config *config, const struct config *from, unsigned int nworkers, char *why);

/*
 * Has the services prepare the words of the listeners, which have their sockets. May take as long as DNS
 * does.
 */
int config_prepare(struct config *config, const struct config *from, char *why);

/*
 * Loads the certificates of all listeners, or none: a half-loaded set must not be served. Only those in a
 * directory are judged each by itself: in the place of a bad one @from (NULL: none) gives what it had. @keys
 * are those of their tickets, if the settings name no others.
 */
int config_load_tls(struct config *config, const struct config *from, struct tls_ticket_keys *keys,
		    char *why);

/* Opens the access log, with a queue for each worker, if there is to be one. */
int config_open_access(struct config *config, unsigned int nworkers, char *why);

/* After another has taken its place, and no worker writes to it any more. */
void config_close_access(struct config *config);

/* The listener of @config (NULL: none) with these sockets, or NULL. */
const struct listener *config_listener_at(const struct config *config, const struct sockets *sockets);

/* Calls @fn for each option whose value differs and that only a restart applies. */
void config_changes(const struct config *from, const struct config *to,
		    void (*fn)(void *arg, const struct opt *row), void *arg);

/* Any thread. The last reference frees it; NULL is allowed. */
struct config *config_get(struct config *config);
void config_put(struct config *config);

#endif
