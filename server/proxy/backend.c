/* SPDX-License-Identifier: MIT */
#include "backend.h"

#include "server/counters.h"
#include "server/log.h"
#include "tls/tls.h"

#include <stdlib.h>

struct backend *backend_create(const struct place *place, struct counters *counters)
{
	struct backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return NULL;
	backend->place = *place;
	backend->refs = 1;
	backend->counters = counters;
	return backend;
}

struct backend *backend_get(struct backend *backend)
{
	backend->refs++;
	return backend;
}

void backend_put(struct backend *backend)
{
	if (--backend->refs)
		return;
	backend_forget(backend);
	tls_ticket_free(backend->ticket);
	free(backend);
}

void backend_join(struct backend *backend)
{
	backend->nroutes++;
}

void backend_leave(struct backend *backend)
{
	if (--backend->nroutes == 0)
		backend_forget(backend);
	backend_put(backend);
}

void backend_forget(struct backend *backend)
{
	if (backend->is_down)
		count_by(backend->counters, backends_down, -1);
	backend->is_down = false;
}

void backend_checked(struct backend *backend, const char *why)
{
	bool is_down = why;

	if (!backend->nroutes)
		return;
	count(backend->counters, checks);
	if (is_down)
		count(backend->counters, checks_failed);
	else
		backend->rests_until_us = 0;
	if (is_down == backend->is_down)
		return;
	backend->is_down = is_down;
	count_by(backend->counters, backends_down, is_down ? 1 : -1);
	if (is_down)
		log_warning("backend %s is down: %s", backend->place.name, why);
	else
		log_notice("backend %s is up", backend->place.name);
}

void backend_keep_ticket(struct backend *backend, struct tls_ticket *ticket)
{
	tls_ticket_free(backend->ticket);
	backend->ticket = ticket;
}

bool backend_is_better(const struct backend *backend, const struct backend *best, bool by_active,
		       uint64_t now_us)
{
	bool rests = backend->rests_until_us > now_us, best_rests = best->rests_until_us > now_us;

	if (backend->is_down != best->is_down)
		return best->is_down;
	if (rests != best_rests)
		return best_rests;
	if (rests) /* the one that has rested longest */
		return backend->rests_until_us < best->rests_until_us;
	return by_active && backend->active < best->active;
}
