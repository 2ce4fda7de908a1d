/* SPDX-License-Identifier: MIT */
/*
 * What /connections of taiod says: JSON of a server that may not be ours. What is missing or of another type
 * is
 * "", NaN or false; only what is no list of workers at all is refused. Pure.
 */
#ifndef CLIENT_CONNS_H
#define CLIENT_CONNS_H

#include "options.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct conn_row {
	const char *id, *service, *peer, *backend, *state;
	double age_s, idle_s, waits_s, bytes_in, bytes_out;
	const json_t *json; /* all of it */
};

#define TALLY_MAX 16

/* How many connections there are of each kind. */
struct tally {
	size_t n;
	const char *names[TALLY_MAX];
	double counts[TALLY_MAX];
};

struct conns {
	json_t *root; /* that the rows point into */
	struct conn_row *rows;
	size_t n;
	double open; /* of which rows may be a part */
	struct tally states, services;
};

#define CONNS_WHY_LEN 256

/* 0, or -errno with why[CONNS_WHY_LEN], and nothing to be freed. */
int conns_parse(struct conns *conns, const char *text, size_t len, char *why);
/* All zero is allowed. */
void conns_free(struct conns *conns);

/* Puts those first that taiod lists first, which lists those of each worker. */
void conns_sort(struct conns *conns, enum sort sort);

#endif
