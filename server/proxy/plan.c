/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include "server/log.h"
#include "server/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(char *why)
{
	snprintf(why, PLAN_WHY_LEN, "out of memory");
	return -ENOMEM;
}

/* --- sources --- */

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct plan_source *)a)->text, ((const struct plan_source *)b)->text);
}

const struct plan_source *plan_source(const struct plan *plan, const char *text)
{
	const struct plan_source key = {.text = (char *)(uintptr_t)text};

	return bsearch(&key, plan->sources, plan->nsources, sizeof(key), by_text);
}

static int source_add(struct plan *plan, const char *text)
{
	char protocol[PROTOCOL_LEN];
	char *copy = strdup(place_split(text, protocol));

	if (!copy)
		return -ENOMEM;
	plan->sources[plan->nsources++] = (struct plan_source){.text = copy};
	return 0;
}

static void sources_sort(struct plan *plan)
{
	unsigned int n = 0;

	qsort(plan->sources, plan->nsources, sizeof(*plan->sources), by_text);
	for (unsigned int i = 0; i < plan->nsources; i++) {
		if (n && !strcmp(plan->sources[n - 1].text, plan->sources[i].text))
			free(plan->sources[i].text);
		else
			plan->sources[n++] = plan->sources[i];
	}
	plan->nsources = n;
}

/* The addresses that @text has had. How many; 0: none. */
static int keep(const char *text, const struct plan *before, struct place *places, const char *why)
{
	const struct plan_source *kept = before ? plan_source(before, text) : NULL;

	if (!kept)
		return 0;
	log_warning("%s: it keeps the addresses that it has", why);
	memcpy(places, &before->places[kept->first], kept->n * sizeof(*places));
	return (int)kept->n;
}

static int source_resolve(struct plan *plan, struct plan_source *source, const struct plan *before, char *why)
{
	struct place *grown = reallocarray(plan->places, plan->nplaces + PLACES_MAX, sizeof(*grown));
	int n, kept;

	if (!grown)
		return no_memory(why);
	plan->places = grown;
	n = place_resolve(source->text, &grown[plan->nplaces], why);
	if (n < 0) {
		kept = keep(source->text, before, &grown[plan->nplaces], why);
		n = kept ? kept : n;
	}
	if (n < 0)
		return n;
	source->first = plan->nplaces;
	source->n = (unsigned int)n;
	plan->nplaces += source->n;
	return 0;
}

static int sources_resolve(struct plan *plan, const struct plan *before, char *why)
{
	int ret = 0;

	for (unsigned int i = 0; i < plan->nsources && !ret; i++)
		ret = source_resolve(plan, &plan->sources[i], before, why);
	return ret;
}

/* --- groups --- */

static struct plan_group *group_of(struct plan *plan, unsigned int first, const char *protocol)
{
	struct plan_group *group;

	for (unsigned int i = first; i < plan->ngroups; i++)
		if (!strcmp(plan->groups[i].protocol, protocol))
			return &plan->groups[i];
	group = &plan->groups[plan->ngroups++];
	*group = (struct plan_group){0};
	memcpy(group->protocol, protocol, PROTOCOL_LEN);
	return group;
}

static int group_add(struct plan_group *group, const struct plan_source *source, char *why)
{
	uint32_t *places;

	if (group->n + source->n > PLACES_MAX) {
		snprintf(why, PLAN_WHY_LEN,
			 "more than %d backends to choose among, counting each address of a name",
			 PLACES_MAX);
		return -E2BIG;
	}
	places = reallocarray(group->places, group->n + source->n, sizeof(*places));
	if (!places)
		return no_memory(why);
	group->places = places;
	for (unsigned int i = 0; i < source->n; i++)
		places[group->n++] = source->first + i;
	return 0;
}

/* From group @first on: those of one rule. */
static int backend_add(struct plan *plan, unsigned int first, const char *text, char *why)
{
	char protocol[PROTOCOL_LEN] = "";
	const char *address = place_split(text, protocol);

	return group_add(group_of(plan, first, protocol), plan_source(plan, address), why);
}

/* --- life --- */

static int fill(struct plan *plan, const struct opt_list *to, const struct plan *before, char *why)
{
	int ret = 0;

	plan->sources = calloc(to->len, sizeof(*plan->sources));
	plan->groups = calloc(to->len, sizeof(*plan->groups));
	if (!plan->sources || !plan->groups)
		return no_memory(why);
	for (size_t i = 0; i < to->len; i++)
		if (source_add(plan, to->items[i]))
			return no_memory(why);
	sources_sort(plan);
	ret = sources_resolve(plan, before, why);
	for (size_t i = 0; i < to->len && !ret; i++)
		ret = backend_add(plan, 0, to->items[i], why);
	return ret;
}

int plan_make(struct plan **plan, const struct proxy_words *words, const struct plan *before, char *why)
{
	struct plan *made = calloc(1, sizeof(*made));
	int ret;

	if (!made)
		return no_memory(why);
	atomic_init(&made->refs, 1);
	ret = fill(made, &words->to, before, why);
	if (ret)
		plan_put(made);
	else
		*plan = made;
	return ret;
}

struct plan *plan_get(struct plan *plan)
{
	atomic_fetch_add(&plan->refs, 1);
	return plan;
}

void plan_put(struct plan *plan)
{
	if (!plan || atomic_fetch_sub(&plan->refs, 1) != 1)
		return;
	for (unsigned int i = 0; i < plan->nsources; i++)
		free(plan->sources[i].text);
	for (unsigned int i = 0; i < plan->ngroups; i++)
		free(plan->groups[i].places);
	free(plan->sources);
	free(plan->groups);
	free(plan->places);
	free(plan);
}

/* --- choice --- */

static int find(const struct plan *plan, const char *protocol)
{
	for (unsigned int i = 0; i < plan->ngroups; i++)
		if (!strcmp(plan->groups[i].protocol, protocol))
			return (int)i;
	return -ENOENT;
}

int plan_choose(const struct plan *plan, const char *protocol)
{
	int group = find(plan, protocol);

	if (group < 0 && !strcmp(protocol, "http/1.1"))
		return find(plan, "");
	return group < 0 && !*protocol ? find(plan, "http/1.1") : group;
}

bool plan_alpn(const struct proxy_words *words, char *text)
{
	struct protocols protocols;
	char why[PLAN_WHY_LEN];

	_Static_assert(PROTOCOLS_TEXT_LEN <= SERVICE_ALPN_MAX, "all protocols fit");
	return !place_protocols(&words->to, &protocols, why) && place_alpn(&protocols, text);
}

int plan_check(const struct proxy_words *words, bool is_tls, char *why)
{
	struct protocols protocols;
	int ret = place_protocols(&words->to, &protocols, why);

	if (ret)
		return ret;
	if (!words->to.len) {
		snprintf(why, PLAN_WHY_LEN,
			 "the service proxy needs a backend: add ,to=ADDRESS:PORT or ,to=unix:PATH");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < protocols.n && !is_tls; i++) {
		if (!*protocols.names[i])
			continue;
		snprintf(why, PLAN_WHY_LEN, "to=%s:... needs tls, which negotiates the protocol",
			 protocols.names[i]);
		return -EINVAL;
	}
	return 0;
}
