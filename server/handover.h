/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that were there before the process, and those that are to be there after it (sd_listen_fds(3)).
 * Some are the service manager's: sockets that it passes under a name. The others are listening sockets of
 * taiod's own, named after where they listen: from the program before (upgrade.h), or from the manager, which
 * keeps them over a restart (FDSTORE=1, sd_notify(3)). Main thread.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include <stdbool.h>

/* How many sockets were passed under @name, and the one at index @i of them, which stays handover's. */
unsigned int handover_count(const char *name);
int handover_fd(const char *name, unsigned int i);

/* A socket of taiod's own that listened at @where, which is the caller's from then on, or -1: there is none
 * left. */
int handover_take(const char *where);

/* Closes those of taiod's own that nobody has taken, here and with the manager. */
void handover_close_rest(void);

/*
 * Has the manager keep the @n sockets that listen at @where. Those that it has already it does not keep
 * twice. False: there is no manager, or no room for the name, which is longer than @where.
 */
bool handover_keep(const char *where, const int *fds, unsigned int n);
/* They are not to outlive the process any more. */
void handover_forget(const char *where);

/* --- what another program is started with --- */

struct handover {
	int *fds;
	char **names;
	unsigned int n;
};

/* Adds what the manager passed. 0 or -ENOMEM; what was added is there in any case. */
int handover_add_passed(struct handover *to);
/* Adds sockets that listen at @where; -1 among them are left out. 0, -ENAMETOOLONG or -ENOMEM. */
int handover_add(struct handover *to, const char *where, const int *fds, unsigned int n);
/* Frees the list; descriptors stay open. */
void handover_free(struct handover *handover);

#endif
