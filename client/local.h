/* SPDX-License-Identifier: MIT */
/*
 * A local end, standard input or output or a file, over the ring. What it is decides how it is attached; the
 * file offset and O_NONBLOCK are the user's before and after, so that a shell's redirection and terminal can
 * be shared. Where two ends are one terminal, close them in the reverse order of opening.
 */
#ifndef CLIENT_LOCAL_H
#define CLIENT_LOCAL_H

#include "client.h"

#include <sys/types.h>

struct local {
	struct client *client;
	int fd, afd;
	int flags; /* of the open file description, before the engine had it */
	bool has_offset;
	off_t offset;
	struct op op;
};

/* @fd stays the caller's. -errno. */
int local_open(struct local *local, struct client *client, int fd);
/* Cancels what is in flight. */
void local_close(struct local *local);

/* One of the two a local end is used for. Never sleeps: bytes, 0 at the end of input, -EAGAIN, -errno. */
ssize_t local_read_some(struct local *local, void *buf, size_t cap);
/* The same @buf must be offered until it is taken. */
ssize_t local_write_some(struct local *local, const void *buf, size_t len);

/* Sleeps until all is written. 0 or -errno. */
int local_write(struct local *local, const void *buf, size_t len);

#endif
