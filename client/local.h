/* SPDX-License-Identifier: MIT */
/*
 * Standard input, standard output or a file, over the ring. The kind of file decides how it is attached. The
 * file offset advances and O_NONBLOCK is restored as if plain system calls had been made, so that a shell's
 * redirection or terminal can be shared. If two ends are the same terminal, close them in reverse order.
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

/* @fd stays the caller's. 0 or -errno. */
int local_open(struct local *local, struct client *client, int fd);
/* Cancels what is in flight. */
void local_close(struct local *local);

/* A local end is read or written, not both. Never sleeps: bytes, 0 at the end of input, -EAGAIN, -errno. */
ssize_t local_read_some(struct local *local, void *buf, size_t cap);
/* The same @buf must be offered until it is taken. */
ssize_t local_write_some(struct local *local, const void *buf, size_t len);

/* Writes all of it, sleeping as needed. 0 or -errno. */
int local_write(struct local *local, const void *buf, size_t len);

#endif
