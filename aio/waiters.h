/* SPDX-License-Identifier: MIT */
/*
 * Operations that wait for their descriptor, first come first served within a direction.
 *
 * No locks: engine epoll calls this on the ring's thread, threads:park under its lock.
 */
#ifndef TAIO_WAITERS_H
#define TAIO_WAITERS_H

#include "taio.h"

#include <stdint.h>

/* Embedded in the engine's operation. */
struct waiter {
	struct waiter *next; /* in a queue: a circle */
	struct iocb *iocb;
};

/* May be moved in memory, which a queue of <sys/queue.h> may not. All zero is an empty one. */
struct waiter_queue {
	struct waiter *last;
};

void queue_add(struct waiter_queue *queue, struct waiter *waiter);
void queue_add_first(struct waiter_queue *queue, struct waiter *waiter);
struct waiter *queue_take(struct waiter_queue *queue);

/* One descriptor. */
struct waiting {
	struct waiter_queue ops;
	uint32_t events;  /* the engine's: epoll events, and flags above them */
	uint8_t untried;  /* the engine's: of EPOLLIN, EPOLLOUT */
	bool is_busy;	  /* the engine's */
	bool never_waits; /* epoll refuses the file (/dev/null): always ready */
};

struct waiters {
	struct waiting *by_fd;
	unsigned int nr;
};

/* Makes room for @fd, so that waiters_add() cannot fail; new entries are all zero. 0 or -ENOMEM. */
int waiters_attach(struct waiters *waiters, int fd);
void waiters_fini(struct waiters *waiters);

static inline struct waiting *waiters_at(struct waiters *waiters, int fd)
{
	return &waiters->by_fd[fd];
}

/* The epoll events that @iocb waits for; for IO_CMD_POLL those that it asks for. */
uint32_t iocb_wants(const struct iocb *iocb);

/* By waiter->iocb->aio_fildes. put_back: ahead of those that came later. Removal is O(waiters on the fd). */
void waiters_add(struct waiters *waiters, struct waiter *waiter);
void waiters_put_back(struct waiters *waiters, struct waiter *waiter);
void waiters_remove(struct waiters *waiters, struct waiter *waiter);

/* Removes and returns the first read or write that one of @events (EPOLLIN, EPOLLOUT) is for. */
struct waiter *waiters_take(struct waiters *waiters, int fd, uint32_t events);

/* Whether there is one, behind which another of its direction has to wait. */
bool waiters_has(const struct waiters *waiters, int fd, uint32_t events);

/* Removes and returns the first IO_CMD_POLL that is ready by poll(2), whose result goes to *@revents. */
struct waiter *waiters_take_polled(struct waiters *waiters, int fd, long *revents);

/* The union of iocb_wants() over all that wait for @fd. */
uint32_t waiters_want(struct waiters *waiters, int fd);

/* What a set of reported events means for reads (EPOLLIN) and for writes (EPOLLOUT). */
uint32_t events_to_directions(uint32_t events);

#endif
