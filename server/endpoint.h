/* SPDX-License-Identifier: MIT */
/*
 * Endpoints (conn/conn.h): a listener of a configuration as one worker serves it. An endpoint keeps its
 * configuration, which has the words and options of its site. Opened before the worker runs, or on its
 * thread.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <stdbool.h>

struct config;
struct conn_group;
struct endpoint;
struct service_env;
struct sockets;

#define ENDPOINT_WHY_LEN 512

/* Listener @i of @config, with the limits of @group: 0, or -errno with why[ENDPOINT_WHY_LEN]. The reference
 * is the caller's. */
int endpoint_open(struct endpoint **endpoint, struct config *config, unsigned int i,
		  const struct service_env *env, struct conn_group *group, char *why);

/* Would endpoint_open() make one with the same service, words and options? TLS may differ: see the next. */
bool endpoint_is_same(const struct endpoint *endpoint, const struct config *config, unsigned int i);

/* Listener @i of @config is served as before: new connections get its certificate, the site opens its files
 * anew. */
void endpoint_renew(struct endpoint *endpoint, const struct config *config, unsigned int i);

/* It is no longer its listener's: only the connections that it has go on. */
void endpoint_leave(struct endpoint *endpoint);

/* Where its listener is. */
const struct sockets *endpoint_sockets(const struct endpoint *endpoint);

#endif
