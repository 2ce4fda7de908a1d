/* SPDX-License-Identifier: MIT */
/*
 * A plan as one worker follows it: its backends, and which one of a group is next. Counted: by the site,
 * which a reload gives others, and by each client whose backend is being chosen.
 */
#ifndef PROXY_ROUTES_H
#define PROXY_ROUTES_H

#include "backend.h"
#include "options.h"
#include "plan.h"

struct routes {
	struct plan *plan; /* holds a reference */
	unsigned int refs;
	enum balance balance;
	struct counters *counters;
	struct tally *tally;	   /* the listener's, which outlives them */
	struct backend **backends; /* one for each of the plan's places; holds references */
	unsigned int *next;	   /* one for each of its groups: round robin, the first to look at */
};

/* Backends that are also in @before (NULL: none) are the same. 0 or -ENOMEM; the reference is the caller's.
 */
int routes_open(struct routes **routes, struct plan *plan, enum balance balance, struct counters *counters,
		struct tally *tally, const struct routes *before);
struct routes *routes_get(struct routes *routes);
void routes_put(struct routes *routes);

/*
 * The backend of @group for the next connection, not among those whose bits are set in @tried; one that is
 * down or rests only if no other is left. NULL: all have been tried. Counts it as active, and the reference
 * is the caller's: routes_leave() gives both back.
 */
struct backend *routes_pick(struct routes *routes, unsigned int group, uint64_t *tried, uint64_t now_us);
void routes_leave(struct backend *backend);

#endif
