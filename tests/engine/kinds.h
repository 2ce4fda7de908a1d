/* SPDX-License-Identifier: MIT */
/* The kinds of descriptors that a ring may be given: how to make one, and what it may wait for. */
#ifndef TAIO_TESTS_KINDS_H
#define TAIO_TESTS_KINDS_H

/* Both are closed afterwards; the first is the one to use, the other, which may be -1, keeps it as it is. */
struct pair {
	int fd, other;
};

struct kind {
	const char *name;
	struct pair (*make)(void);
	void (*bring)(struct pair *pair); /* what ends the wait of an operation on it; NULL: nothing does */
	int refused;			  /* by taio_attach(), or 0 */
	const char *only;		  /* by engines that begin so; NULL: all */
};

extern const struct kind kinds[];
extern const unsigned int nkinds;

void pair_close(struct pair pair);

struct pair event_empty(void);
struct pair event_full(void);
struct pair pipe_reader(void);
struct pair pipe_writer(void);
struct pair epoll_of_signals(void);

/* SIGUSR2, to the process. */
void signal_comes(struct pair *pair);

#endif
