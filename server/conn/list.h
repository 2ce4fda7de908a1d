/* SPDX-License-Identifier: MIT */
/* The connections of a worker, for whoever watches: as JSON, and the end of one. The shard's thread. */
#ifndef CONN_LIST_H
#define CONN_LIST_H

#include "server/roster.h"
#include "shard.h"

/* So many at most are listed: a text of all may take longer than a loop may stand still. */
#define CONN_LIST_MAX 1000

/*
 * {"worker": @worker, "open": N, "states": {NAME: N, ...}, "services": {...}, "connections": [...]}: *len
 * bytes that free(3) frees, or NULL without memory. Of the connections, those that the question wants first.
 */
char *conn_list(const struct shard *shard, unsigned int worker, const struct roster_question *question,
		size_t *len);

/* Ends the connection @id as a deadline does, before this turn submits. False: there is none of that id. */
bool conn_list_end(struct shard *shard, uint64_t id);

#endif
