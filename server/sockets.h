/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets of one address, one for each worker (SO_REUSEPORT); the one that was handed over,
 * shared by all; or the one at a path, which the first worker has alone. Made on the main thread; while
 * workers run they only read it, except that each closes its own socket. Counted, because configurations
 * share the sockets of an address that a reload keeps.
 */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "base/addr.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct handover;

enum sockets_kind {
	SOCKETS_ADDRESS,     /* HOST:PORT */
	SOCKETS_PATH,	     /* unix:PATH */
	SOCKETS_HANDED_OVER, /* fd:NAME, by the service manager */
};

struct sockets {
	atomic_uint refs;
	char *where;	  /* as written */
	unsigned int nth; /* of those that are handed over under this name, from 0 */
	enum sockets_kind kind;
	bool is_kept; /* others have them, too, and serve there when this process has ended */
	dev_t dev;    /* of the file at a path, which is removed with the socket if it is still there */
	ino_t ino;
	union addr wanted;    /* with port 0, the kernel chose that of addr */
	union addr addr;      /* where they are bound */
	struct sockets *next; /* handed over, among those taken; main thread */
	unsigned int n;
	int fds[]; /* -1: this worker has none */
};

#define SOCKETS_WHY_LEN 512

enum sockets_kind sockets_kind_of(const char *where);
/* Whether @where is a path that a socket can have: absolute, and short enough (unix(7)). */
bool sockets_is_path(const char *where);

/* How many sockets there are at @where: several may be handed over under one name; at least 1. Main thread.
 */
unsigned int sockets_count(const char *where);

/*
 * Binds @n sockets to @where, or one to its path, where a socket that nobody listens on is replaced; those
 * that the process before has left there are taken first (handover.h). Or takes the one at index @nth of
 * those handed over under its name, which stays open from then on: the service manager has it, too. On
 * success the reference is the caller's, on failure -errno and a line in why[SOCKETS_WHY_LEN].
 */
int sockets_open(struct sockets **sockets, const char *where, unsigned int nth, unsigned int n,
		 unsigned int backlog, char *why);

/* Would sockets_open() of @where make the same? @wanted is what @where resolves to, if it is an address. */
bool sockets_are_at(const struct sockets *sockets, const char *where, unsigned int nth,
		    const union addr *wanted);

/* How many workers accept from it. */
unsigned int sockets_acceptors(const struct sockets *sockets);

/* Where they are bound, as written in text[SOCKETS_TEXT_LEN]; returns text. */
#define SOCKETS_TEXT_LEN 160
const char *sockets_text(const struct sockets *sockets, char *text);

/* Changes the backlog of sockets that are not handed over. */
void sockets_set_backlog(struct sockets *sockets, unsigned int backlog);

/*
 * Has the service manager keep them over a restart, if there is one; or no longer. Adds them to what another
 * program is started with: 0 or -errno. Those that were handed over the manager has, and the program is given
 * anyhow. Main thread.
 */
void sockets_keep(struct sockets *sockets);
void sockets_forget(struct sockets *sockets);
int sockets_hand_over(struct sockets *sockets, struct handover *to);
/* The path is another process's to remove. Main thread, before the worker is asked to close its socket. */
void sockets_leave_path(struct sockets *sockets);

/*
 * Closes worker @i's socket, unless it was handed over, on that worker's thread. Once all are closed, the
 * kernel refuses connections.
 */
void sockets_close_one(struct sockets *sockets, unsigned int i);

/* Any thread. The last reference closes those that are open; NULL is allowed. */
struct sockets *sockets_get(struct sockets *sockets);
void sockets_put(struct sockets *sockets);

#endif
