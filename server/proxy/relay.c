/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include "server/conn/peer.h"

#define LOW (OUTQ_HIGH / 2)

void relay_join(struct side *a, struct side *b)
{
	a->other = b;
	b->other = a;
}

struct side *relay_part(struct side *side)
{
	struct side *other = side->other;

	side->other = NULL;
	if (other)
		other->other = NULL;
	return other;
}

enum step relay_input(struct side *side, const char *data, size_t len, size_t *used)
{
	size_t room = peer_room(side->other->peer);

	*used = len < room ? len : room;
	side->is_blocked = *used == room;
	if (*used && peer_append(side->other->peer, data, *used)) {
		peer_set_reason(side->peer, CLOSE_OTHER);
		return STEP_FAILED;
	}
	return side->is_blocked ? STEP_BLOCKED : STEP_MORE;
}

enum step relay_eof(struct side *side, size_t left)
{
	bool is_new = !side->ended;

	if (left)
		return STEP_BLOCKED;
	side->ended = true;
	if (is_new && side->other) {
		side->other->other_has_ended = true;
		if (side->other_has_ended)
			peer_wake(side->other->peer);
		else
			peer_finish(side->other->peer);
	}
	return relay_is_over(side) ? STEP_DONE : STEP_BLOCKED;
}

void relay_sent(struct side *side, const struct outq *out)
{
	if (!side->other || !side->other->is_blocked || out->nbytes > LOW)
		return;
	side->other->is_blocked = false;
	peer_wake(side->other->peer);
}
