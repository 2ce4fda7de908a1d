/* SPDX-License-Identifier: MIT */
/* A hash table of lists, each with a lock of its own. A row is there as long as it counts something. */
#include "census.h"

#include "base/opt.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#define NLISTS 1024

struct key {
	uint8_t family, bits;
	uint8_t address[16]; /* zero behind the bits */
};

struct census_row {
	LIST_ENTRY(census_row) link;
	struct list *list;
	struct key key;
	unsigned int n;
};

struct list {
	pthread_mutex_t lock;
	LIST_HEAD(, census_row) rows;
};

static struct list lists[NLISTS];
static uint64_t seed; /* so that nobody can choose addresses that meet in one list */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	for (int i = 0; i < NLISTS; i++)
		pthread_mutex_init(&lists[i].lock, NULL);
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uintptr_t)&once;
}

static struct list *list_of(const struct key *key)
{
	const uint8_t *bytes = (const uint8_t *)key;
	uint64_t hash = seed;

	for (size_t i = 0; i < sizeof(*key); i++)
		hash = (hash ^ bytes[i]) * 0x9e3779b97f4a7c15 + (hash >> 29);
	return &lists[(hash >> 32) % NLISTS];
}

static bool parse_prefix(const char *text, unsigned int *v4, unsigned int *v6)
{
	int end = 0;

	return strspn(text, "0123456789/") == strlen(text) && sscanf(text, "%3u/%3u%n", v4, v6, &end) == 2 &&
	       !text[end] && *v4 <= 32 && *v6 <= 128;
}

/* False: it is of no network. */
static bool key_of(struct key *key, const union addr *addr, const struct census_limit *limit)
{
	bool is_v6 = addr->sa.sa_family == AF_INET6;

	if (!is_v6 && addr->sa.sa_family != AF_INET)
		return false;
	*key = (struct key){
		.family = (uint8_t)addr->sa.sa_family,
		.bits = (uint8_t)(is_v6 ? limit->bits_v6 : limit->bits_v4),
	};
	memcpy(key->address, is_v6 ? (const void *)&addr->v6.sin6_addr : &addr->v4.sin_addr, is_v6 ? 16 : 4);
	for (unsigned int bit = key->bits; bit < sizeof(key->address) * 8; bit++)
		key->address[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return true;
}

static struct census_row *find(struct list *list, const struct key *key)
{
	struct census_row *row;

	LIST_FOREACH (row, &list->rows, link)
		if (!memcmp(&row->key, key, sizeof(*key)))
			return row;
	row = calloc(1, sizeof(*row));
	if (!row)
		return NULL;
	row->list = list;
	row->key = *key;
	LIST_INSERT_HEAD(&list->rows, row, link);
	return row;
}

int census_enter(struct census_row **entered, const union addr *addr, const struct census_limit *limit)
{
	union addr plain = *addr;
	struct census_row *row;
	struct list *list;
	struct key key;
	int ret = 0;

	*entered = NULL;
	addr_unmap(&plain);
	if (!limit->max || !key_of(&key, &plain, limit))
		return 0;
	pthread_once(&once, init);
	list = list_of(&key);
	pthread_mutex_lock(&list->lock);
	row = find(list, &key);
	if (!row)
		ret = -ENOMEM;
	else if (row->n >= limit->max)
		ret = -EDQUOT;
	else
		row->n++;
	pthread_mutex_unlock(&list->lock);
	if (!ret)
		*entered = row;
	return ret;
}

void census_leave(struct census_row *row)
{
	struct list *list;

	if (!row)
		return;
	list = row->list;
	pthread_mutex_lock(&list->lock);
	if (--row->n == 0) {
		LIST_REMOVE(row, link);
		free(row);
	}
	pthread_mutex_unlock(&list->lock);
}

int census_check_prefix(const char *text, char *why)
{
	unsigned int v4, v6;

	if (parse_prefix(text, &v4, &v6))
		return 0;
	snprintf(why, OPT_WHY_LEN,
		 "'%.100s' is not BITS/BITS, up to 32 of an IPv4 and 128 of an IPv6 address: write 32/64",
		 text);
	return -EINVAL;
}

void census_set_prefix(struct census_limit *limit, const char *text)
{
	parse_prefix(text, &limit->bits_v4, &limit->bits_v6);
}
