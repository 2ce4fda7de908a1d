/* SPDX-License-Identifier: MIT */
/*
 * Which clients go to which backends, with the names of backends resolved. Made on the main thread, so that a
 * slow resolver holds up no connection; immutable from then on, and counted by the workers that follow it.
 */
#ifndef PROXY_PLAN_H
#define PROXY_PLAN_H

#include "options.h"
#include "place.h"

#include <stdatomic.h>
#include <stdint.h>

/* Those among which a client's backend is chosen. */
struct plan_group {
	char protocol[PROTOCOL_LEN];
	uint32_t *places; /* indices into plan->places */
	unsigned int n;
};

/* Where clients that ask for a name go: plan->groups[first..first + n). */
struct plan_rule {
	char *name; /* "": any that no other rule has; ".NAME": any name below NAME */
	unsigned int first, n;
};

/* A backend as written, without its protocol; plan->places[first..first + n) are its addresses. */
struct plan_source {
	char *text;
	unsigned int first, n;
};

struct plan {
	atomic_uint refs;
	struct place *places;
	unsigned int nplaces;
	struct plan_source *sources; /* in the order of their texts */
	unsigned int nsources;
	struct plan_group *groups;
	unsigned int ngroups;
	struct plan_rule *rules; /* in the order of their names */
	unsigned int nrules;
};

#define PLAN_WHY_LEN PLACE_WHY_LEN

/* What can be said against the words and the file that they name without resolving anything. 0, or -errno
 * with why[PLAN_WHY_LEN]. */
int plan_check(const struct proxy_words *words, bool is_tls, char *why);

/* As service.alpn_of(). */
bool plan_alpn(const struct proxy_words *words, char *text);

/*
 * Makes the plan of @words, which need not have been checked. A name that cannot be resolved keeps the
 * addresses that it has in @before (NULL: none), with a warning in the log. Main thread; may block on DNS.
 */
int plan_make(struct plan **plan, const struct proxy_words *words, const struct plan *before, char *why);

/* The source of that text, or NULL. */
const struct plan_source *plan_source(const struct plan *plan, const char *text);

/* Any thread. The last reference frees it; NULL is allowed. */
struct plan *plan_get(struct plan *plan);
void plan_put(struct plan *plan);

/*
 * The group of clients that ask for @name ("": for none; in lower case) and have negotiated @protocol ("":
 * none): its index, or -ENOENT. The name itself counts first, then the longest *.NAME. http/1.1 and none are
 * served by the same backends unless there are some for each.
 */
int plan_choose(const struct plan *plan, const char *name, const char *protocol);

#endif
