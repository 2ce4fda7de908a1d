/* SPDX-License-Identifier: MIT */
/*
 * What a worker accepts on: an acceptor for each listener of its configuration. Another configuration takes
 * its place in two steps, so that all workers change over, or none: what can fail is prepared beside the
 * present one, then committed or aborted. On the worker's thread, or before it runs.
 */
#ifndef INTAKE_H
#define INTAKE_H

#include "accept.h"

struct config;
struct sockets;

struct intake_slot {
	struct acceptor *acceptor;
	struct endpoint *endpoint; /* the acceptor's, once committed */
};

struct intake {
	struct config *config; /* holds a reference */
	unsigned int n;
	struct intake_slot slots[];
};

/* The worker that accepts. */
struct intake_host {
	struct shard *shard;
	const struct service_env *env;
	unsigned int limit; /* connections */
	unsigned int index; /* of its sockets */
	unsigned int nworkers;
};

#define INTAKE_WHY_LEN 512

/* The part of @total that one worker has. */
static inline unsigned int intake_share(unsigned int total, unsigned int nworkers)
{
	return (total + nworkers - 1) / nworkers;
}

/* @now is the present one, or NULL. On failure -errno, a line in why[INTAKE_WHY_LEN], and nothing is left. */
int intake_prepare(struct intake **next, const struct intake_host *host, const struct intake *now,
		   struct config *config, char *why);

/*
 * @next takes the place of @now (NULL: none), which ends. Acceptors of sockets that both have go on, with the
 * limits of
 * @next, after which deadline_rearm() is to be called; new ones
 * start; those that are gone stop, and @gone is told of their sockets.
 */
void intake_commit(struct intake *next, const struct intake_host *host, struct intake *now,
		   void (*gone)(void *arg, const struct sockets *sockets), void *arg);

/* Drops what was prepared and not committed; NULL is allowed. */
void intake_abort(struct intake *next);

/* After commit: those that were full go on if there is room; all stop accepting, and their sockets are
 * closed. */
void intake_resume(struct intake *now);
void intake_stop(struct intake *now, unsigned int index);

/* After intake_stop(), or if it has never started. */
void intake_close(struct intake *now);

#endif
