/* SPDX-License-Identifier: MIT */
/*
 * What the user writes after --listen, or as a block of the configuration file, and the sockets that it leads
 *to. Main thread; immutable once workers know it.
 *
 *	ADDRESS:PORT[,service=NAME][,tls][,cert=FILE][,key=FILE][,KEY=VALUE...]
 *	unix:/PATH[,...]	a socket at that path, of one worker
 *	fd:NAME[,...]	the sockets that the service manager passes under that name
 *(sd_listen_fds_with_names(3)), for each of which there is a listener
 *
 * A key is one of listener.c's own, one of limits.h, one of the service's words, or one of the service's
 *options. Those that are options, too, hold for this listener instead of the general ones.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "base/network.h"
#include "base/opt.h"
#include "limits.h"
#include "service.h"

#include <stdbool.h>

struct settings;
struct sockets;

struct listener {
	char *spec;  /* address and keys, a line each: equal if written alike, in one line or as a block */
	char *where; /* "127.0.0.1:8080", "unix:/PATH" or "fd:NAME" */
	unsigned int nth; /* of the sockets of that name, from 0; config_listeners() sets it */
	const struct service *service;
	bool tls;
	/* Its own, or NULL. */
	char *client_ca, *client_crl, *client_verify;
	char *cert, *key, *cert_dir, *tls_min, *tls_ciphers, *tls_ciphersuites, *tls_groups;
	struct opt_list proxies;      /* accept-proxy, */
	struct networks accept_proxy; /* read */
	unsigned int accept_rate;     /* connections a second; 0: no limit */
	bool access_log;
	struct limits limits;	      /* the general ones but for its own */
	void *options;		      /* likewise the service's, of service->options_size bytes, or NULL */
	void *words;		      /* the service's, of service->words_size bytes, or NULL */
	struct sockets *sockets;      /* a reference; config_open() sets it */
};

#define LISTENER_WHY_LEN OPT_WHY_LEN

/* Makes listener_keys, which has every key of every service, for the option table. Called once, before the
 * rest. */
void listener_init(void);
extern struct opt listener_keys[];

/* Those of every service that no option gives a general value; offsets are into struct listener. */
extern const struct opt listener_words[];

/* For the option table: check only the syntax. */
int listener_check(const char *text, char *why);
int listener_check_block(const struct opt_block *block, size_t *at, char *why);
int listener_check_tls_version(const char *text, char *why);
int listener_check_verify(const char *text, char *why);

/* What the listener does not say is as in @general; NULL: the options' defaults. */
int listener_parse(struct listener *l, const char *text, const struct settings *general, char *why);
int listener_parse_block(struct listener *l, const struct opt_block *block, const struct settings *general,
			 char *why);

/* Checks what can be checked without binding: whether the service accepts its words. */
int listener_verify(const struct listener *l, char *why);

/* Has its service prepare its words; @before: the listener that is at this address until now, or NULL. */
int listener_prepare(const struct listener *l, const struct listener *before, char *why);

void listener_close(struct listener *l);

#endif
