/* SPDX-License-Identifier: MIT */
#include "sni_map.h"

#include "base/opt.h"
#include "client_hello.h"
#include "place.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r"

static int complain(char *why, const char *file, unsigned int line, const char *what, const char *word)
{
	snprintf(why, SNI_MAP_WHY_LEN, "%.80s:%u: %.110s%.40s", file, line, what, word);
	return -EINVAL;
}

static int add(struct sni_map *map, const char *name, const char *backend, unsigned int line)
{
	struct sni_entry *grown = map->entries;

	/* Room for a power of two. */
	if (!(map->len & (map->len - 1)))
		grown = reallocarray(grown, map->len ? 2 * map->len : 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	map->entries = grown;
	grown[map->len++] = (struct sni_entry){.name = name, .backend = backend, .line = line};
	return 0;
}

/* In its place: NAME, or .NAME of *.NAME. NULL: it is none. */
static const char *normalize(char *name)
{
	char normal[SERVER_NAME_LEN];
	bool is_wild = !strncmp(name, "*.", 2);
	char *rest = is_wild ? name + 2 : name;

	if (!server_name_normalize(rest, strlen(rest), normal))
		return NULL;
	strcpy(rest, normal);
	return is_wild ? name + 1 : name;
}

static int read_line(struct sni_map *map, char *text, const char *file, unsigned int line, char *why)
{
	char *word, *rest = NULL, reason[OPT_WHY_LEN];
	size_t before = map->len;
	const char *name;

	text[strcspn(text, "#")] = '\0';
	word = strtok_r(text, BLANKS, &rest);
	if (!word)
		return 0;
	name = normalize(word);
	if (!name)
		return complain(why, file, line, "not a name, or *.NAME: ", word);
	while ((word = strtok_r(NULL, BLANKS, &rest))) {
		if (place_check(word, reason))
			return complain(why, file, line, reason, "");
		if (add(map, name, word, line)) {
			snprintf(why, SNI_MAP_WHY_LEN, "out of memory");
			return -ENOMEM;
		}
	}
	return map->len > before ? 0 : complain(why, file, line, "no backend for ", name);
}

/* By name, then as in the file. */
static int compare(const void *a, const void *b)
{
	const struct sni_entry *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->backend > y->backend) - (x->backend < y->backend);
}

static int sort(struct sni_map *map, const char *file, char *why)
{
	char what[64];

	if (map->len)
		qsort(map->entries, map->len, sizeof(*map->entries), compare);
	for (size_t i = 1; i < map->len; i++) {
		const struct sni_entry *a = &map->entries[i - 1], *b = &map->entries[i];

		if (strcmp(a->name, b->name) || a->line == b->line)
			continue;
		snprintf(what, sizeof(what), "also in line %u: %s", a->line, *b->name == '.' ? "*" : "");
		return complain(why, file, b->line, what, b->name);
	}
	return 0;
}

/* The whole file, which becomes map->text. */
static int read_all(struct sni_map *map, const char *file, char *why)
{
	size_t size = 0;
	ssize_t len;
	FILE *from;
	int err;

	errno = 0;
	from = fopen(file, "re");
	len = from ? getdelim(&map->text, &size, '\0', from) : -1;
	err = !from || (len < 0 && ferror(from)) ? errno : 0;
	if (from)
		fclose(from);
	if (err) {
		snprintf(why, SNI_MAP_WHY_LEN, "%.150s: %s", file, strerror(err));
		return -err;
	}
	if (len < 0 && map->text)
		map->text[0] = '\0';
	if (len > 0 && !map->text[len - 1]) {
		snprintf(why, SNI_MAP_WHY_LEN, "%.150s: not a text file", file);
		return -EINVAL;
	}
	return 0;
}

int sni_map_read(struct sni_map *map, const char *file, char *why)
{
	unsigned int line = 0;
	char *rest;
	int ret;

	*map = (struct sni_map){0};
	ret = read_all(map, file, why);
	rest = map->text;
	while (!ret && rest && *rest)
		ret = read_line(map, strsep(&rest, "\n"), file, ++line, why);
	if (!ret)
		ret = sort(map, file, why);
	if (ret)
		sni_map_free(map);
	return ret;
}

void sni_map_free(struct sni_map *map)
{
	free(map->entries);
	free(map->text);
	*map = (struct sni_map){0};
}
