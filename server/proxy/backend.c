/* SPDX-License-Identifier: MIT */
#include "backend.h"

#include "server/counters.h"
#include "server/log.h"
#include "server/tally.h"
#include "tls/tls.h"

#include <stdlib.h>

struct backend *backend_create(const struct place *place, struct counters *counters,
			       const struct tally *listener)
{
	struct backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return NULL;
	backend->place = *place;
	backend->refs = 1;
	backend->counters = counters;
	if (!tally_open_backend(&backend->tally, listener, place->name))
		return backend;
	free(backend);
	return NULL;
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
	tally_put(backend->tally);
	free(backend);
}

void backend_join(struct backend *backend)
{
	backend->nroutes++;
	tally_count(backend->tally, nroutes);
}

void backend_leave(struct backend *backend)
{
	tally_add(backend->tally, TALLY_nroutes, -1);
	if (--backend->nroutes == 0)
		backend_forget(backend);
	backend_put(backend);
}

void backend_enter(struct backend *backend)
{
	backend->active++;
	tally_count(backend->tally, active);
	backend_get(backend);
}

void backend_exit(struct backend *backend)
{
	backend->active--;
	tally_add(backend->tally, TALLY_active, -1);
	backend_put(backend);
}

void backend_rest(struct backend *backend, uint64_t until_us)
{
	backend->rests_until_us = until_us;
	tally_set(backend->tally, TALLY_rests_until_us, until_us);
}

static void set_down(struct backend *backend, bool is_down)
{
	int change = is_down - backend->is_down;

	backend->is_down = is_down;
	count_by(backend->counters, backends_down, change);
	tally_add(backend->tally, TALLY_ndown, change);
}

void backend_forget(struct backend *backend)
{
	set_down(backend, false);
}

void backend_checked(struct backend *backend, const char *why)
{
	bool is_down = why;

	if (!backend->nroutes)
		return;
	count(backend->counters, checks);
	tally_count(backend->tally, checks);
	if (is_down) {
		count(backend->counters, checks_failed);
		tally_count(backend->tally, checks_failed);
	} else {
		backend_rest(backend, 0);
	}
	if (is_down == backend->is_down)
		return;
	set_down(backend, is_down);
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
