/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets of one address, one for each worker (SO_REUSEPORT), or the one that was handed over,
 * shared by all. Made on the main thread; while workers run they only read it, except that each closes its
 * own socket. Counted, because configurations share the sockets of an address that a reload keeps.
 */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "base/addr.h"

#include <stdatomic.h>
#include <stdbool.h>

struct sockets {
	atomic_uint refs;
	char *where;	      /* as written */
	bool handed_over;     /* by the service manager */
	union addr wanted;    /* with port 0, the kernel chose that of addr */
	union addr addr;      /* where they are bound */
	struct sockets *next; /* handed over, among those taken; main thread */
	unsigned int n;
	int fds[];
};

#define SOCKETS_WHY_LEN 512

/* Is @where the name of a socket that is handed over, "fd:NAME"? */
bool sockets_is_handed_over(const char *where);

/*
 * Binds @n sockets to @where, or takes the one that was handed over under its name, which stays open from
 * then on: the service manager has it, too. On success the reference is the caller's, on failure -errno and a
 * line in why[SOCKETS_WHY_LEN].
 */
int sockets_open(struct sockets **sockets, const char *where, unsigned int n, unsigned int backlog,
		 char *why);

/*
 * Would sockets_open() of @where make the same? @wanted is what @where resolves to, unless it is handed
 * over.
 */
bool sockets_are_at(const struct sockets *sockets, const char *where, const union addr *wanted);

/* Changes the backlog of sockets that are not handed over. */
void sockets_set_backlog(struct sockets *sockets, unsigned int backlog);

/*
 * Closes worker @i's socket, unless it was handed over, on that worker's thread. Once all are closed, the
 * kernel refuses connections.
 */
void sockets_close_one(struct sockets *sockets, unsigned int i);

/* Any thread. The last reference closes those that are open; NULL is allowed. */
struct sockets *sockets_get(struct sockets *sockets);
void sockets_put(struct sockets *sockets);

#endif
