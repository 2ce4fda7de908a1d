/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include <errno.h>
#include <stdlib.h>

static struct backend *find(const struct routes *routes, const struct plan_source *source,
			    const struct place *place)
{
	for (unsigned int i = 0; source && i < source->n; i++)
		if (place_equal(place, &routes->plan->places[source->first + i]))
			return routes->backends[source->first + i];
	return NULL;
}

static int open_source(struct routes *routes, const struct plan_source *source, const struct routes *before)
{
	const struct plan_source *was = before ? plan_source(before->plan, source->text) : NULL;

	for (unsigned int i = source->first; i < source->first + source->n; i++) {
		const struct place *place = &routes->plan->places[i];
		struct backend *known = find(before, was, place);

		routes->backends[i] =
			known ? backend_get(known) : backend_create(place, routes->counters, routes->tally);
		if (!routes->backends[i])
			return -ENOMEM;
		backend_join(routes->backends[i]);
	}
	return 0;
}

int routes_open(struct routes **routes, struct plan *plan, enum balance balance, struct counters *counters,
		struct tally *tally, const struct routes *before)
{
	struct routes *opened = calloc(1, sizeof(*opened));
	int ret = 0;

	if (!opened)
		return -ENOMEM;
	*opened = (struct routes){
		.plan = plan_get(plan), .refs = 1, .balance = balance, .counters = counters, .tally = tally};
	opened->backends = calloc(plan->nplaces, sizeof(struct backend *));
	opened->next = calloc(plan->ngroups, sizeof(*opened->next));
	if (!opened->backends || !opened->next)
		ret = -ENOMEM;
	for (unsigned int i = 0; i < plan->nsources && !ret; i++)
		ret = open_source(opened, &plan->sources[i], before);
	if (ret)
		routes_put(opened);
	else
		*routes = opened;
	return ret;
}

struct routes *routes_get(struct routes *routes)
{
	routes->refs++;
	return routes;
}

void routes_put(struct routes *routes)
{
	if (--routes->refs)
		return;
	for (unsigned int i = 0; routes->backends && i < routes->plan->nplaces; i++)
		if (routes->backends[i])
			backend_leave(routes->backends[i]);
	plan_put(routes->plan);
	free(routes->backends);
	free(routes->next);
	free(routes);
}

struct backend *routes_pick(struct routes *routes, unsigned int group, uint64_t *tried, uint64_t now_us)
{
	const struct plan_group *among = &routes->plan->groups[group];
	struct backend *best = NULL;
	unsigned int at = 0;

	for (unsigned int i = 0; i < among->n; i++) {
		unsigned int k = (routes->next[group] + i) % among->n;
		struct backend *backend = routes->backends[among->places[k]];

		if (*tried & (uint64_t)1 << k)
			continue;
		if (best && !backend_is_better(backend, best, routes->balance == BALANCE_LEAST_CONN, now_us))
			continue;
		best = backend;
		at = k;
	}
	if (!best)
		return NULL;
	*tried |= (uint64_t)1 << at;
	routes->next[group] = (at + 1) % among->n;
	backend_enter(best);
	return best;
}

void routes_leave(struct backend *backend)
{
	backend_exit(backend);
}
