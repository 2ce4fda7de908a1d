/* SPDX-License-Identifier: MIT */
/* Owns the entries: chunks, mapped when they are first wanted and then for good, by whoever holds the lock.
 */
#include "table.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#define CHUNK (1 << 10)

static struct entry *_Atomic chunks[TABLE_MAX / CHUNK];

struct entry *table_find(int fd)
{
	struct entry *chunk;

	if (fd < 0 || fd >= TABLE_MAX)
		return NULL;
	/* Paired with the store-release in table_make(). */
	chunk = atomic_load_explicit(&chunks[fd / CHUNK], memory_order_acquire);
	return chunk ? &chunk[fd % CHUNK] : NULL;
}

struct entry *table_make(int fd)
{
	struct entry *entry = table_find(fd), *chunk;

	if (entry || fd < 0 || fd >= TABLE_MAX)
		return entry;
	/* Not malloc(3): close(2) may be called in a signal handler. */
	chunk = mmap(NULL, CHUNK * sizeof(*chunk), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	if (chunk == MAP_FAILED)
		return NULL;
	atomic_store_explicit(&chunks[fd / CHUNK], chunk, memory_order_release);
	return &chunk[fd % CHUNK];
}

static bool is_noted(const struct entry *entry)
{
	return entry->place || entry->stands_for || entry->known != FD_UNKNOWN;
}

int table_next(int from, int to)
{
	struct entry *entry;

	while (from <= to && from < TABLE_MAX) {
		entry = table_find(from);
		if (entry && is_noted(entry))
			return from;
		from = entry ? from + 1 : (from / CHUNK + 1) * CHUNK;
	}
	return -1;
}
