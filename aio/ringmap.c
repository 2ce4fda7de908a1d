/* SPDX-License-Identifier: MIT */
/*
 * struct aio_ring as fs/aio.c lays it out since 2.5: the kernel advances tail after it has filled the event,
 * the reaper advances head. The context's identifier is the address of the mapping.
 */
#include "ringmap.h"

#include <stdatomic.h>
#include <time.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#define AIO_RING_MAGIC		   0xa10a10a1
#define AIO_RING_INCOMPAT_FEATURES 0

struct aio_ring {
	unsigned int id;
	unsigned int nr; /* number of events */
	_Atomic unsigned int head;
	_Atomic unsigned int tail;
	unsigned int magic;
	unsigned int compat_features;
	unsigned int incompat_features;
	unsigned int header_length;
	struct io_event events[];
};

bool ringmap_usable(io_context_t ctx, bool may_map)
{
	const struct aio_ring *ring = (const void *)ctx;

	return may_map && !RUNNING_ON_VALGRIND && ring->magic == AIO_RING_MAGIC &&
	       ring->incompat_features == AIO_RING_INCOMPAT_FEATURES && ring->header_length == sizeof(*ring);
}

int ringmap_take(io_context_t ctx, int nr, struct io_event *events)
{
	struct aio_ring *ring = (void *)ctx;
	unsigned int head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	/* Paired with the smp_wmb() before the kernel's store to tail in aio_complete(). */
	unsigned int tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	int n = 0;

	while (n < nr && head != tail) {
		events[n++] = ring->events[head];
		head = head + 1 == ring->nr ? 0 : head + 1;
	}
	/* Paired with the kernel's read of head in user_refill_reqs_available(): events are read before their
	 * places are free. */
	if (n)
		atomic_store_explicit(&ring->head, head, memory_order_release);
	return n;
}

int ringmap_take_syscall(io_context_t ctx, int nr, struct io_event *events)
{
	struct timespec none = {0};
	int n = io_getevents(ctx, 0, nr, events, &none);

	return n < 0 ? 0 : n;
}
