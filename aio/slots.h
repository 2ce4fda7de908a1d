/* SPDX-License-Identifier: MIT */
/*
 * Numbers 0 .. nr - 1 for the operations in flight; an operation's iocb carries its number as key. Ring's
 * thread only. Low numbers first, so that memory above the high-water mark is never touched.
 */
#ifndef TAIO_SLOTS_H
#define TAIO_SLOTS_H

struct slots {
	unsigned int *next_free; /* by slot */
	unsigned int free;	 /* first of the free ones below used, or SLOT_NONE */
	unsigned int used;	 /* high-water mark: slots from here on were never given out */
	unsigned int nr;
};

enum { SLOT_NONE = -1 };

int slots_init(struct slots *slots, unsigned int nr);
void slots_fini(struct slots *slots);

/* A slot, or SLOT_NONE: all are taken. */
int slot_get(struct slots *slots);
void slot_put(struct slots *slots, unsigned int slot);

#endif
