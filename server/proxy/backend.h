/* SPDX-License-Identifier: MIT */
/*
 * A backend as one worker knows it: how it fares. Counted: by the routes that lead to it, and by each
 * connection to it, which may outlive them.
 */
#ifndef PROXY_BACKEND_H
#define PROXY_BACKEND_H

#include "place.h"

#include <errno.h>
#include <stdint.h>

struct counters;
struct tally;
struct tls_ticket;

struct backend {
	struct place place;
	unsigned int refs;
	unsigned int nroutes;	 /* that lead to it; 0: only connections are left, and nothing else counts */
	unsigned int active;	 /* connections to it, those being made included */
	uint64_t rests_until_us; /* clock_us() time until which it is passed over */
	struct tls_ticket *ticket; /* of the newest session with it; NULL: none */
	bool is_down;		   /* its last check has failed */
	bool is_checked;	   /* a check is under way */
	struct counters *counters;
	struct tally *tally; /* holds a reference, or NULL */
};

/* NULL: no memory. The reference is the caller's. @listener: whose tally it is (NULL: there is none). */
struct backend *backend_create(const struct place *place, struct counters *counters,
			       const struct tally *listener);
struct backend *backend_get(struct backend *backend);
void backend_put(struct backend *backend);

/* Routes lead to it, with a reference of theirs; and no longer, which drops that. */
void backend_join(struct backend *backend);
void backend_leave(struct backend *backend);

/* A connection to it begins, with a reference of its own; and is over, which drops that. */
void backend_enter(struct backend *backend);
void backend_exit(struct backend *backend);

/* It is passed over until then, a clock_us() time; 0: no longer. */
void backend_rest(struct backend *backend, uint64_t until_us);

/* A check has ended; @why: what has failed, or NULL. A change goes to the log. */
void backend_checked(struct backend *backend, const char *why);

/* It is checked no more. */
void backend_forget(struct backend *backend);

/* Keeps @ticket, which may be NULL, for the next connections. The backend owns it then. */
void backend_keep_ticket(struct backend *backend, struct tls_ticket *ticket);

/* Is @backend to be preferred to @best, which comes before it in the round? */
bool backend_is_better(const struct backend *backend, const struct backend *best, bool by_active,
		       uint64_t now_us);

/* Whether -errno of peer_connect() is for something that lacks here, not at the backend. */
static inline bool backend_is_innocent(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS || err == -EADDRNOTAVAIL;
}

#endif
