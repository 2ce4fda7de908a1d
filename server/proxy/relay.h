/* SPDX-License-Identifier: MIT */
/*
 * Bytes and ends of a pair: what one side receives is the other's output. A side that receives faster than
 * the other sends is read no further until half of what is queued has been sent. The end of input is passed
 * on behind the bytes before it, and the other direction goes on.
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include "server/service.h"

/* The start of both sessions. All zero is a side without another. */
struct side {
	struct peer *peer;
	struct side *other;   /* NULL: not yet, or no longer */
	bool is_blocked;      /* the other's output is full */
	bool ended;	      /* the peer has sent its last byte, and it was taken */
	bool other_has_ended; /* the same of the other, which may be gone */
};

void relay_join(struct side *a, struct side *b);
/* Afterwards neither knows the other, which is returned; NULL: there was none. */
struct side *relay_part(struct side *side);

/* As service.input(), eof() and sent(), for a side that has another. */
enum step relay_input(struct side *side, const char *data, size_t len, size_t *used);
enum step relay_eof(struct side *side, size_t left);
void relay_sent(struct side *side, const struct outq *out);

/* Both directions have come to their ends in order. */
static inline bool relay_is_over(const struct side *side)
{
	return side->ended && side->other_has_ended;
}

#endif
