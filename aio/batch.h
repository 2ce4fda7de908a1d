/* SPDX-License-Identifier: MIT */
/*
 * Operations gathered for one taio_submit(). A batch is used by its ring's thread. Room is reserved in
 * advance, so adding an operation cannot fail.
 */
#ifndef AIO_BATCH_H
#define AIO_BATCH_H

#include <libaio.h>
#include <stdbool.h>

struct taio;

/* All zero is an empty batch with no room. Written only by the functions below. */
struct batch {
	struct iocb **iocbs;
	unsigned int len, cap;
	unsigned int head; /* entries before it have left the batch; 0 except during batch_flush() */
};

/* Makes room for @n operations in total. 0, or -ENOMEM and the batch is unchanged. */
int batch_reserve(struct batch *batch, unsigned int n);
void batch_fini(struct batch *batch);

/* batch_add() only: makes the room that was reserved available at the end. */
void batch_make_room(struct batch *batch);

/* Adds @iocb, for which there must be room. It and its buffer must stay until its event or refusal. */
static inline void batch_add(struct batch *batch, struct iocb *iocb)
{
	if (batch->len == batch->cap)
		batch_make_room(batch);
	batch->iocbs[batch->len++] = iocb;
}

/* Moves all of @from behind what @to holds, which must have room for it. Neither is being flushed. */
void batch_move(struct batch *to, struct batch *from);

/*
 * Reports an operation that has left the batch. @err is 0 if the ring took it (its event will follow), or
 * -errno if the ring refused it (there will be no event). The callback may add operations, reserve room,
 * and cancel operations that were reported as taken.
 */
typedef void batch_outcome(void *arg, struct iocb *iocb, int err);

/*
 * Submits the operations in the order in which they were added, including those added by @outcome. Returns
 * true if the ring was full (-EAGAIN): the operations that did not fit stay in the batch, in order.
 */
bool batch_flush(struct batch *batch, struct taio *ring, batch_outcome *outcome, void *arg);

#endif
