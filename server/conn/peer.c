/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include "base/clock.h"
#include "fsm.h"

void peer_resume(struct peer *peer)
{
	struct conn *c = (struct conn *)peer;

	assert(!c->in_session);
	/* The turn's clock is from before the loop slept: deadlines counted from it would be early. */
	c->shard->now_us = clock_us();
	conn_fsm(c, ON_RESUME, 0);
}
