/* SPDX-License-Identifier: MIT */
/*
 * Invariant: iocbs[head..len) wait to be submitted, in order; there are never more of them than reserved.
 */
#include "batch.h"

#include "taio.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 64

int batch_reserve(struct batch *batch, unsigned int n)
{
	unsigned int cap = batch->cap ? batch->cap : CAP_MIN;
	struct iocb **iocbs;

	if (n > UINT_MAX / 2)
		return -ENOMEM;
	while (cap < n)
		cap *= 2;
	if (cap == batch->cap)
		return 0;
	iocbs = reallocarray(batch->iocbs, cap, sizeof(*iocbs));
	if (!iocbs)
		return -ENOMEM;
	batch->iocbs = iocbs;
	batch->cap = cap;
	return 0;
}

void batch_fini(struct batch *batch)
{
	free(batch->iocbs);
	*batch = (struct batch){0};
}

/* Moves the waiting operations to the front. */
static void close_gap(struct batch *batch)
{
	if (!batch->head)
		return;
	batch->len -= batch->head;
	memmove(batch->iocbs, batch->iocbs + batch->head, batch->len * sizeof(*batch->iocbs));
	batch->head = 0;
}

void batch_make_room(struct batch *batch)
{
	close_gap(batch);
	assert(batch->len < batch->cap);
}

void batch_move(struct batch *to, struct batch *from)
{
	assert(!to->head && !from->head && from->len <= to->cap - to->len);
	if (!from->len)
		return;
	memcpy(to->iocbs + to->len, from->iocbs, from->len * sizeof(*to->iocbs));
	to->len += from->len;
	from->len = 0;
}

/* @outcome may move what waits, so only head is valid afterwards. */
static void report(struct batch *batch, int n, int err, batch_outcome *outcome, void *arg)
{
	while (n--) {
		struct iocb *iocb = batch->iocbs[batch->head++];

		outcome(arg, iocb, err);
	}
}

bool batch_flush(struct batch *batch, struct taio *ring, batch_outcome *outcome, void *arg)
{
	int n = 0;

	while (batch->head < batch->len) {
		n = taio_submit(ring, (long)(batch->len - batch->head), batch->iocbs + batch->head);
		if (n == -EAGAIN)
			break;
		if (n < 0)
			report(batch, 1, n, outcome, arg);
		else
			report(batch, n, 0, outcome, arg);
	}
	close_gap(batch);
	return n == -EAGAIN;
}
