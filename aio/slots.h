/* SPDX-License-Identifier: MIT */
/*
 * Numbers 0 .. nr - 1 for the operations in flight; an operation's iocb carries its number as key. Low
 * numbers first, so that memory above the high-water mark is never touched. Called by an engine on the ring's
 * thread.
 *
 * The operations are an array of the engine's, and lend a link each: it is the allocator's while the slot is
 * free and the engine's while it is taken. Invariant: a slot is taken, or on the free list, or at or above
 * used.
 */
#ifndef TAIO_SLOTS_H
#define TAIO_SLOTS_H

#include <stddef.h>
#include <stdint.h>

struct slots {
	char *links;   /* the link of slot 0; the next is @stride bytes on */
	size_t stride; /* of the engine's array */
	uint32_t free; /* first free slot below used, plus 1; 0 is none. The link of a free slot is the next
			  one */
	uint32_t used; /* high-water mark: slots from here on were never taken */
	uint32_t nr;
};

enum { SLOT_NONE = -1 };

/* @link is that of the first of @nr operations of @stride bytes each. */
static inline void slots_init(struct slots *slots, unsigned int nr, uint32_t *link, size_t stride)
{
	*slots = (struct slots){.links = (char *)link, .stride = stride, .nr = nr};
}

static inline uint32_t *slot_link(const struct slots *slots, uint32_t slot)
{
	return (uint32_t *)(slots->links + slot * slots->stride);
}

/* A slot, or SLOT_NONE: all are taken. */
static inline int slot_get(struct slots *slots)
{
	uint32_t slot = slots->free - 1;

	if (slots->free)
		slots->free = *slot_link(slots, slot);
	else if (slots->used < slots->nr)
		slot = slots->used++;
	return (int)slot; /* SLOT_NONE where neither gave one */
}

static inline void slot_put(struct slots *slots, uint32_t slot)
{
	*slot_link(slots, slot) = slots->free;
	slots->free = slot + 1;
}

#endif
