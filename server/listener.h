/* SPDX-License-Identifier: MIT */
/*
 * What the user writes after --listen, and the sockets that it leads to. Main thread; immutable once workers
 * know it.
 *
 *	ADDRESS:PORT[,service=NAME][,tls][,cert=FILE][,key=FILE][,WORD=VALUE...]
 *	fd:NAME[,...]	a socket that the service manager passes under that name (sd_listen_fds_with_names(3))
 *
 * Other words belong to the service (service.words).
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "service.h"

#include <stdbool.h>

struct sockets;

struct listener {
	char *text;	   /* owned copy of the specification, cut into the parts below */
	const char *where; /* "127.0.0.1:8080", or "fd:NAME" */
	const struct service *service;
	const char *cert, *key;
	void *words; /* the service's, of service->words_size bytes, or NULL */
	bool tls;
	struct sockets *sockets; /* a reference; config_open() sets it */
};

#define LISTENER_WHY_LEN 512

/* For the option table: checks only the syntax. */
int listener_check(const char *text, char *why);

int listener_parse(struct listener *l, const char *text, char *why);

/* Checks what can be checked without binding: whether the service accepts its words. */
int listener_verify(const struct listener *l, char *why);

void listener_close(struct listener *l);

#endif
