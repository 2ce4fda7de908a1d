/* SPDX-License-Identifier: MIT */
/* The connections of a worker as JSON, for whoever watches. */
#ifndef CONN_LIST_H
#define CONN_LIST_H

#include "shard.h"

/* So many at most are listed, the newest: a list of all may take longer than a loop may stand still. */
#define CONN_LIST_MAX 1000

/*
 * {"worker": @worker, "open": N, "connections": [...]}: @len bytes that free(3) frees, or NULL without
 * memory. The shard's thread.
 */
char *conn_list(const struct shard *shard, unsigned int worker, size_t *len);

#endif
