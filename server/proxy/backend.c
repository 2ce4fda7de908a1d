/* SPDX-License-Identifier: MIT */
#include "backend.h"

#include <stdlib.h>

struct backend *backend_create(const struct place *place)
{
	struct backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return NULL;
	backend->place = *place;
	backend->refs = 1;
	return backend;
}

struct backend *backend_get(struct backend *backend)
{
	backend->refs++;
	return backend;
}

void backend_put(struct backend *backend)
{
	if (--backend->refs == 0)
		free(backend);
}

bool backend_is_better(const struct backend *backend, const struct backend *best, bool by_active,
		       uint64_t now_us)
{
	bool rests = backend->rests_until_us > now_us, best_rests = best->rests_until_us > now_us;

	if (rests != best_rests)
		return best_rests;
	if (rests) /* the one that has rested longest */
		return backend->rests_until_us < best->rests_until_us;
	return by_active && backend->active < best->active;
}
