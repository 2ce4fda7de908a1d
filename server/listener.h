/* SPDX-License-Identifier: MIT */
/*
 * What the user writes after --listen, and the sockets made from it. Main thread, before and after the
 *workers run; while they run they only read it, except that each closes its own socket.
 *
 *	ADDRESS:PORT[,service=NAME][,tls][,cert=FILE][,key=FILE][,WORD=VALUE...]
 *	fd:NAME[,...]	a socket that the service manager passes under that name (sd_listen_fds_with_names(3))
 *
 * Other words belong to the service (service.words).
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "base/addr.h"
#include "service.h"

#include <stdbool.h>

struct listener {
	char *text;	   /* owned copy of the specification, cut into the parts below */
	const char *where; /* "127.0.0.1:8080", or "fd:NAME" */
	const struct service *service;
	const char *cert, *key;
	void *words; /* the service's, of service->words_size bytes, or NULL */
	bool tls;
	bool handed_over; /* by the service manager: one socket, shared by all workers */
	union addr addr;  /* where it is bound: port 0 is resolved */
	int *fds;	  /* one for each worker */
	unsigned int nfds;
};

#define LISTENER_WHY_LEN 512

/* For the option table: checks only the syntax. */
int listener_check(const char *text, char *why);

int listener_parse(struct listener *l, const char *text, char *why);

/* Binds @nworkers sockets to one address (SO_REUSEPORT), or takes the one that was handed over. */
int listener_open(struct listener *l, unsigned int nworkers, unsigned int backlog, char *why);

/* Checks what can be checked without binding: whether the service accepts its words. */
int listener_verify(const struct listener *l, char *why);

/* Closes worker @i's socket, on that worker's thread. Once all are closed, the kernel refuses connections. */
void listener_close_fd(struct listener *l, unsigned int i);

void listener_close(struct listener *l);

#endif
