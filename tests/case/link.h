/* SPDX-License-Identifier: MIT */
/*
 * The files under test: connected pairs and plain files, and what the far end does with them. Knows no
 * ring.
 */
#ifndef TAIO_CASE_LINK_H
#define TAIO_CASE_LINK_H

#include "tests/case/check.h"

/* What lies between the ring and the far end. A mask in tables. */
enum link_kind {
	LINK_NONE = 1 << 0, /* the case makes what it needs */
	LINK_TCP = 1 << 1,
	LINK_UNIX = 1 << 2,
	LINK_PIPE = 1 << 3,
	LINK_TTY = 1 << 4,  /* a pseudo-terminal in raw mode; the ring has the terminal's side */
	LINK_FILE = 1 << 5, /* no far end */
};

#define LINK_KINDS 6

struct link_name {
	const char *name;
	enum link_kind kind;
};

extern const struct link_name link_names[LINK_KINDS];

/*
 * One connection: the near end belongs to the ring, the far end to the test, which uses plain blocking system
 * calls on it. A pipe link is two pipes. -1: closed.
 */
struct link {
	int in, out;	       /* near end; the same descriptor unless it is a pipe */
	int afd_in, afd_out;   /* what iocbs name, of the module a proxy; the suite makes and closes them */
	int peer_in, peer_out; /* far end */
};

void link_make(struct link *link, enum link_kind kind);
/* Neither end may still be attached. */
void link_destroy(struct link *link);
void link_peer_close(struct link *link);

/* As link_make() makes them: [0] is the near end. @nbytes of socket buffers; 0: the system's. */
void tcp_pair(int fds[2], int nbytes);
void terminal_pair(int fds[2]);

/* The far end writes or reads exactly @nbytes, or fails the case. */
void peer_write(struct link *link, const void *buf, size_t nbytes);
void peer_read(struct link *link, void *buf, size_t nbytes);
/* The far end reads what there is without waiting; 0 if there is nothing. The end of the stream fails the
 * case. */
size_t peer_read_some(struct link *link, void *buf, size_t nbytes);

/* Exactly @nbytes of @fd by plain read(2), or the case fails. */
void fd_read(int fd, void *buf, size_t nbytes);
/* Reads what there is without waiting, whatever the flags of @fd; 0 if there is nothing. */
size_t fd_read_some(int fd, void *buf, size_t nbytes);
/* Waits up to @timeout_ms, also across signals. */
bool is_readable(int fd, int timeout_ms);
void fd_close(int *fd);
/* @a and @b may be the same descriptor. */
void fds_close(int *a, int *b);

#endif
