/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include "server/log.h"
#include "server/service.h"
#include "sni_map.h"

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

/* Of the last rule, which is being made. */
static int backend_add(struct plan *plan, const char *text, char *why)
{
	struct plan_rule *rule = &plan->rules[plan->nrules - 1];
	char protocol[PROTOCOL_LEN] = "";
	const char *address = place_split(text, protocol);
	struct plan_group *group = group_of(plan, rule->first, protocol);

	rule->n = plan->ngroups - rule->first;
	return group_add(group, plan_source(plan, address), why);
}

/* --- rules --- */

/* The rule of the next entry, which is the last one unless a name begins. */
static int rule_begin(struct plan *plan, const char *name)
{
	char *copy;

	if (plan->nrules && !strcmp(plan->rules[plan->nrules - 1].name, name))
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	plan->rules[plan->nrules++] = (struct plan_rule){.name = copy, .first = plan->ngroups};
	return 0;
}

/* Both as entries: the words' own backends are those of the name "". */
static int read_entries(struct sni_map *map, const struct proxy_words *words, char *why)
{
	size_t n = words->to.len;
	struct sni_entry *entries;
	int ret = words->sni_map ? sni_map_read(map, words->sni_map, why) : 0;

	if (ret)
		return ret;
	entries = calloc(n + map->len, sizeof(*entries));
	if (!entries) {
		sni_map_free(map);
		return no_memory(why);
	}
	for (size_t i = 0; i < n; i++)
		entries[i] = (struct sni_entry){.name = "", .backend = words->to.items[i]};
	if (map->len)
		memcpy(entries + n, map->entries, map->len * sizeof(*entries));
	free(map->entries);
	map->entries = entries;
	map->len += n;
	return 0;
}

/* --- life --- */

static int fill(struct plan *plan, const struct sni_map *map, const struct plan *before, char *why)
{
	int ret = 0;

	plan->sources = calloc(map->len, sizeof(*plan->sources));
	plan->groups = calloc(map->len, sizeof(*plan->groups));
	plan->rules = calloc(map->len, sizeof(*plan->rules));
	if (!plan->sources || !plan->groups || !plan->rules)
		return no_memory(why);
	for (size_t i = 0; i < map->len; i++)
		if (source_add(plan, map->entries[i].backend))
			return no_memory(why);
	sources_sort(plan);
	ret = sources_resolve(plan, before, why);
	for (size_t i = 0; i < map->len && !ret; i++)
		ret = rule_begin(plan, map->entries[i].name)
			      ? no_memory(why)
			      : backend_add(plan, map->entries[i].backend, why);
	return ret;
}

int plan_make(struct plan **plan, const struct proxy_words *words, const struct plan *before, char *why)
{
	struct plan *made = calloc(1, sizeof(*made));
	struct sni_map map = {0};
	int ret;

	if (!made)
		return no_memory(why);
	atomic_init(&made->refs, 1);
	ret = read_entries(&map, words, why);
	if (!ret)
		ret = fill(made, &map, before, why);
	sni_map_free(&map);
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
	for (unsigned int i = 0; i < plan->nrules; i++)
		free(plan->rules[i].name);
	free(plan->rules);
	free(plan->sources);
	free(plan->groups);
	free(plan->places);
	free(plan);
}

/* --- choice --- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct plan_rule *)a)->name, ((const struct plan_rule *)b)->name);
}

static const struct plan_rule *find_rule(const struct plan *plan, const char *name)
{
	const struct plan_rule key = {.name = (char *)(uintptr_t)name};

	return bsearch(&key, plan->rules, plan->nrules, sizeof(key), by_name);
}

/* The rule of the name, or else of the longest end of it that begins with a dot, or else of any. */
static const struct plan_rule *rule_of(const struct plan *plan, const char *name)
{
	const struct plan_rule *rule = find_rule(plan, name);

	while (!rule && *name) {
		name = strchr(name + 1, '.');
		name = name ? name : "";
		rule = find_rule(plan, name);
	}
	return rule;
}

static int find_group(const struct plan *plan, const struct plan_rule *rule, const char *protocol)
{
	for (unsigned int i = rule->first; i < rule->first + rule->n; i++)
		if (!strcmp(plan->groups[i].protocol, protocol))
			return (int)i;
	return -ENOENT;
}

int plan_choose(const struct plan *plan, const char *name, const char *protocol)
{
	const struct plan_rule *rule = rule_of(plan, name);
	int group = rule ? find_group(plan, rule, protocol) : -ENOENT;

	if (!rule || group >= 0)
		return group;
	if (!strcmp(protocol, "http/1.1"))
		return find_group(plan, rule, "");
	return *protocol ? group : find_group(plan, rule, "http/1.1");
}

bool plan_alpn(const struct proxy_words *words, char *text)
{
	struct protocols protocols;
	char why[PLAN_WHY_LEN];

	_Static_assert(PROTOCOLS_TEXT_LEN <= SERVICE_ALPN_MAX, "all protocols fit");
	return !place_protocols(&words->to, &protocols, why) && place_alpn(&protocols, text);
}

/* --- checks --- */

static int complain(char *why, const char *what, const char *word)
{
	snprintf(why, PLAN_WHY_LEN, what, word);
	return -EINVAL;
}

static int check_words(const struct proxy_words *words, bool is_tls, char *why)
{
	if (!words->to.len && !words->sni_map)
		return complain(
			why, "the service proxy needs a backend: add ,to=ADDRESS:PORT or ,to=unix:PATH", "");
	if (words->sni_route && is_tls)
		return complain(why, "sni-route is for listeners without tls, which pass it through", "");
	if (words->sni_route && !words->sni_map)
		return complain(why, "sni-route needs ,sni-map=FILE", "");
	if (words->sni_map && !words->sni_route && !is_tls)
		return complain(why, "sni-map=%.100s needs tls, or sni-route to pass it through",
				words->sni_map);
	if (words->to_tls && words->verify && !words->to.len && !words->server_name)
		return complain(why, "to-tls with no backend but those of sni-map needs ,server-name=NAME",
				"");
	return 0;
}

/* The backends @entries[0..n) of a name against the protocols that are offered to all clients alike. */
static int check_rule(const struct protocols *offered, const struct sni_entry *entries, size_t n,
		      const char *file, char *why)
{
	char protocol[PROTOCOL_LEN];
	uint64_t has = 0;

	for (size_t i = 0; i < n; i++) {
		int at;

		place_split(entries[i].backend, protocol);
		at = place_protocol_at(offered, protocol);
		if (at < 0 && *protocol) {
			snprintf(why, PLAN_WHY_LEN,
				 "%.80s:%u: no backend of to= has the protocol %s, so that it is not offered",
				 file, entries[i].line, protocol);
			return -EINVAL;
		}
		has |= at < 0 ? 0 : (uint64_t)1 << at;
	}
	for (unsigned int i = 0; i < offered->n; i++)
		if (*offered->names[i] && !(has & (uint64_t)1 << i)) {
			snprintf(why, PLAN_WHY_LEN, "%.80s:%u: no backend has the protocol %s, which to= has",
				 file, entries[0].line, offered->names[i]);
			return -EINVAL;
		}
	return 0;
}

static int check_map(const struct proxy_words *words, const struct protocols *offered, char *why)
{
	const char *file = words->sni_map;
	struct sni_map map;
	int ret = sni_map_read(&map, file, why);

	if (ret)
		return ret;
	if (!map.len && !words->to.len)
		ret = complain(why, "%.150s: has no names, and there is no backend of to=", file);
	for (size_t i = 0, n; i < map.len && !ret; i += n) {
		for (n = 1; i + n < map.len && map.entries[i + n].line == map.entries[i].line;)
			n++;
		ret = check_rule(offered, &map.entries[i], n, file, why);
	}
	sni_map_free(&map);
	return ret;
}

int plan_check(const struct proxy_words *words, bool is_tls, char *why)
{
	struct protocols protocols;
	int ret = place_protocols(&words->to, &protocols, why);

	if (!ret)
		ret = check_words(words, is_tls, why);
	for (unsigned int i = 0; i < protocols.n && !ret && !is_tls; i++)
		if (*protocols.names[i])
			ret = complain(why, "to=%s:... needs tls, which negotiates the protocol",
				       protocols.names[i]);
	if (!ret && words->sni_map)
		ret = check_map(words, &protocols, why);
	return ret;
}
