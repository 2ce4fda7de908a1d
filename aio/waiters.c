/* SPDX-License-Identifier: MIT */
/*
 * Owns the table of waiting operations by descriptor. Called by the engines that learn of readiness from
 * epoll, one caller at a time. Invariant: an operation is in its descriptor's queue, and in no other, from
 * add to take or remove.
 *
 * A queue is a circle entered at its last member: one pointer for each descriptor, one for each operation.
 */
#include "waiters.h"

#include "fd_table.h"
#include "transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

void queue_add_first(struct waiter_queue *queue, struct waiter *waiter)
{
	if (queue->last == NULL) {
		waiter->next = waiter;
		queue->last = waiter;
		return;
	}
	waiter->next = queue->last->next;
	queue->last->next = waiter;
}

void queue_add(struct waiter_queue *queue, struct waiter *waiter)
{
	queue_add_first(queue, waiter);
	queue->last = waiter;
}

/* Unlinks and returns the waiter after @before. */
static struct waiter *unlink_after(struct waiter_queue *queue, struct waiter *before)
{
	struct waiter *waiter = before->next;

	before->next = waiter->next;
	if (waiter == before)
		queue->last = NULL;
	else if (waiter == queue->last)
		queue->last = before;
	return waiter;
}

struct waiter *queue_take(struct waiter_queue *queue)
{
	return queue->last == NULL ? NULL : unlink_after(queue, queue->last);
}

int waiters_attach(struct waiters *waiters, int fd)
{
	struct waiting *by_fd = fd_table_grow(waiters->by_fd, &waiters->nr, sizeof(*by_fd), fd);

	if (!by_fd)
		return -ENOMEM;
	waiters->by_fd = by_fd;
	return 0;
}

void waiters_fini(struct waiters *waiters)
{
	free(waiters->by_fd);
}

uint32_t iocb_wants(const struct iocb *iocb)
{
	switch (iocb->aio_lio_opcode) {
	case IO_CMD_PREAD:
	case IO_CMD_PREADV:
		return EPOLLIN;
	case IO_CMD_PWRITE:
	case IO_CMD_PWRITEV:
		return EPOLLOUT;
	}
	/* poll(2) and epoll(7) number their events alike; above the low 16 bits epoll keeps its own flags. */
	return iocb->u.poll.events & 0xffff;
}

void waiters_add(struct waiters *waiters, struct waiter *waiter)
{
	queue_add(&waiters->by_fd[waiter->iocb->aio_fildes].ops, waiter);
}

void waiters_put_back(struct waiters *waiters, struct waiter *waiter)
{
	queue_add_first(&waiters->by_fd[waiter->iocb->aio_fildes].ops, waiter);
}

void waiters_remove(struct waiters *waiters, struct waiter *waiter)
{
	struct waiter_queue *queue = &waiters->by_fd[waiter->iocb->aio_fildes].ops;
	struct waiter *before = queue->last;

	while (before->next != waiter)
		before = before->next;
	unlink_after(queue, before);
}

/* The waiter before the first read or write that one of @events is for, or NULL. */
static struct waiter *find_before(const struct waiter_queue *queue, uint32_t events)
{
	struct waiter *before = queue->last;

	if (before == NULL || events == 0)
		return NULL;
	do {
		const struct iocb *iocb = before->next->iocb;

		if (iocb->aio_lio_opcode != IO_CMD_POLL && (iocb_wants(iocb) & events) != 0)
			return before;
		before = before->next;
	} while (before != queue->last);
	return NULL;
}

struct waiter *waiters_take(struct waiters *waiters, int fd, uint32_t events)
{
	struct waiter_queue *queue = &waiters->by_fd[fd].ops;
	struct waiter *before = find_before(queue, events);

	return before == NULL ? NULL : unlink_after(queue, before);
}

bool waiters_has(const struct waiters *waiters, int fd, uint32_t events)
{
	return find_before(&waiters->by_fd[fd].ops, events) != NULL;
}

struct waiter *waiters_take_polled(struct waiters *waiters, int fd, long *revents)
{
	struct waiter_queue *queue = &waiters->by_fd[fd].ops;
	struct waiter *before = queue->last;

	if (before == NULL)
		return NULL;
	do {
		const struct iocb *iocb = before->next->iocb;

		if (iocb->aio_lio_opcode == IO_CMD_POLL) {
			*revents = transfer_now(iocb, TAIO_CLASS_STREAM);
			if (*revents != -EAGAIN)
				return unlink_after(queue, before);
		}
		before = before->next;
	} while (before != queue->last);
	return NULL;
}

uint32_t waiters_want(struct waiters *waiters, int fd)
{
	const struct waiter *last = waiters->by_fd[fd].ops.last;
	const struct waiter *waiter = last;
	uint32_t wants = 0;

	if (last == NULL)
		return 0;
	do {
		wants |= iocb_wants(waiter->iocb);
		waiter = waiter->next;
	} while (waiter != last);
	return wants;
}

uint32_t events_to_directions(uint32_t events)
{
	uint32_t directions = 0;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		directions |= EPOLLIN;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		directions |= EPOLLOUT;
	return directions;
}
