/* SPDX-License-Identifier: MIT */
/*
 * Lines on their way from one thread to another: a ring of bytes that one writes and the other reads, without
 * a lock. A line, which ends in LF, goes in whole or not at all.
 */
#ifndef LINE_QUEUE_H
#define LINE_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct line_queue {
	size_t size;			   /* a power of two */
	_Alignas(64) atomic_size_t filled; /* bytes put in, ever; the putting thread's */
	_Alignas(64) atomic_size_t taken;  /* the taking thread's */
	char ring[];
};

/* Room for @size bytes or more. NULL: no memory. */
struct line_queue *line_queue_create(size_t size);
void line_queue_destroy(struct line_queue *queue); /* NULL is allowed */

/*
 * How many bytes are in @queue. Of the putting thread, before it puts: so many or fewer; of the taking
 * thread: so many or more. Sequentially consistent, for who looks before it sleeps.
 */
static inline size_t line_queue_used(const struct line_queue *queue)
{
	return atomic_load(&queue->filled) - atomic_load(&queue->taken);
}

/* Puts @len bytes, a line. False: there is no room. */
bool line_queue_put(struct line_queue *queue, const char *line, size_t len);

/* Takes whole lines, as many as @room bytes at @to hold. Returns how many bytes; the first line must have
 * room. */
size_t line_queue_take(struct line_queue *queue, char *to, size_t room);

#endif
