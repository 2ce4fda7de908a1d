/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of free slots. Called by an engine on the ring's thread. Invariant: a slot is given out or
 * on the list or at or above slots->used, and never two of these.
 */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>

int slots_init(struct slots *slots, unsigned int nr)
{
	/* calloc() takes a large array from mmap(2): pages that are not used cost nothing. */
	slots->next_free = calloc(nr, sizeof(*slots->next_free));
	if (slots->next_free == NULL)
		return -ENOMEM;
	slots->free = SLOT_NONE;
	slots->used = 0;
	slots->nr = nr;
	return 0;
}

void slots_fini(struct slots *slots)
{
	free(slots->next_free);
}

int slot_get(struct slots *slots)
{
	unsigned int slot = slots->free;

	if (slot != (unsigned int)SLOT_NONE)
		slots->free = slots->next_free[slot];
	else if (slots->used < slots->nr)
		slot = slots->used++;
	return slot;
}

void slot_put(struct slots *slots, unsigned int slot)
{
	slots->next_free[slot] = slots->free;
	slots->free = slot;
}
