/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include "fsm.h"

void peer_resume(struct peer *peer)
{
	conn_fsm((struct conn *)peer, ON_RESUME, 0);
}
