/* SPDX-License-Identifier: MIT */
/* What bounds the connections of a listener: the general values (settings.h), or its own (listener.h). */
#ifndef LIMITS_H
#define LIMITS_H

#include "base/opt.h"
#include "timeout.h"

#include <stdint.h>

enum when_full { FULL_REFUSE, FULL_WAIT, FULL_EVICT };

struct limits {
	uint64_t timeout_us[DEADLINE_NCLASSES]; /* timeout.h; 0: never */
	unsigned int max_connections;		/* of one listener; 0: no bound but the general one */
	int when_full;				/* enum when_full: at either bound */
	uint64_t conn_memory;			/* bytes of a connection's buffers */
	uint64_t send_min_rate;			/* bytes per second that a peer takes of its output; 0: any */
	unsigned int backlog;
};

/* The options that set them, with offsets into struct limits; a listener may have values of its own of each.
 */
extern const struct opt limits_rows[];

#endif
