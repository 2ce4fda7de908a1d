/* SPDX-License-Identifier: MIT */
#include "line_queue.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 4096

struct line_queue *line_queue_create(size_t size)
{
	struct line_queue *queue;
	size_t power = SIZE_MIN;

	while (power < size)
		power *= 2;
	queue = aligned_alloc(64, (sizeof(*queue) + power + 63) & ~(size_t)63);
	if (!queue)
		return NULL;
	queue->size = power;
	atomic_init(&queue->filled, 0);
	atomic_init(&queue->taken, 0);
	return queue;
}

void line_queue_destroy(struct line_queue *queue)
{
	free(queue);
}

/* How many of the @len bytes from @at on lie before the end of the ring, and where they begin. */
static size_t first_part(const struct line_queue *queue, size_t at, size_t len, size_t *begin)
{
	*begin = at & (queue->size - 1);
	return len < queue->size - *begin ? len : queue->size - *begin;
}

bool line_queue_put(struct line_queue *queue, const char *line, size_t len)
{
	size_t filled = atomic_load_explicit(&queue->filled, memory_order_relaxed), begin, first;

	/* Paired with the store in line_queue_take(): what was taken is no longer read. */
	if (queue->size - (filled - atomic_load_explicit(&queue->taken, memory_order_acquire)) < len)
		return false;
	first = first_part(queue, filled, len, &begin);
	memcpy(queue->ring + begin, line, first);
	memcpy(queue->ring, line + first, len - first);
	/* Paired with the load in line_queue_take(). */
	atomic_store(&queue->filled, filled + len);
	return true;
}

/* How many of @len bytes are whole lines. */
static size_t whole_lines(const char *text, size_t len)
{
	const char *end = len ? memrchr(text, '\n', len) : NULL;

	return end ? (size_t)(end - text) + 1 : 0;
}

size_t line_queue_take(struct line_queue *queue, char *to, size_t room)
{
	size_t taken = atomic_load_explicit(&queue->taken, memory_order_relaxed), begin, first, n;

	/* Paired with the store in line_queue_put(). */
	n = atomic_load_explicit(&queue->filled, memory_order_acquire) - taken;
	n = n < room ? n : room;
	first = first_part(queue, taken, n, &begin);
	memcpy(to, queue->ring + begin, first);
	memcpy(to + first, queue->ring, n - first);
	n = whole_lines(to, n);
	atomic_store_explicit(&queue->taken, taken + n, memory_order_release);
	return n;
}
