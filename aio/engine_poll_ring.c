/* SPDX-License-Identifier: MIT */
/*
 * Owns the operations of engine poll's ring, its kernel contexts and its eventfd. Called by engine_poll.c on
 * the ring's thread. Invariants: an operation is in at most one of the free list, a fifo, the submission
 * queue; the contexts have room for at least as many operations as can be in flight; an eventfd write that
 * belongs to no event seen is never read back, so that the fd stays readable for it.
 */
#include "engine_poll_ring.h"

#include "aio_nr.h"
#include "ringmap.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Slots of fs.aio-max-nr: taken at first, and taken at least where no more are free. */
#define SLOTS_FIRST 256
#define SLOTS_LEAST 64

static unsigned int min_of(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* --- operations and lists --- */

struct poll_op *poll_op_alloc(struct poll_ring *r)
{
	struct poll_op *op = &r->ops[slot_get(&r->slots)];

	op->cancelled = false;
	op->guessed = false;
	op->epfd = -1;
	return op;
}

void poll_op_free(struct poll_ring *r, struct poll_op *op)
{
	if (op->epfd >= 0)
		close(op->epfd);
	op->state = OP_FREE;
	op->user = NULL;
	slot_put(&r->slots, poll_op_slot(r, op));
}

struct poll_op *poll_op_of(const struct poll_ring *r, const struct iocb *iocb)
{
	struct poll_op *op;

	if (iocb->key >= r->slots.used)
		return NULL;
	op = &r->ops[iocb->key];
	return op->user == iocb ? op : NULL;
}

void fifo_put(struct poll_ring *r, struct fifo *fifo, struct poll_op *op)
{
	uint32_t link = poll_op_slot(r, op) + 1;

	op->next = 0;
	if (fifo->head)
		r->ops[fifo->tail - 1].next = link;
	else
		fifo->head = link;
	fifo->tail = link;
}

struct poll_op *fifo_take(struct poll_ring *r, struct fifo *fifo)
{
	struct poll_op *op;

	if (!fifo->head)
		return NULL;
	op = &r->ops[fifo->head - 1];
	fifo->head = op->next;
	return op;
}

void fifo_remove(struct poll_ring *r, struct fifo *fifo, const struct poll_op *op)
{
	uint32_t link = poll_op_slot(r, op) + 1, *at = &fifo->head, before = 0;

	while (*at != link) {
		before = *at;
		at = &r->ops[before - 1].next;
	}
	*at = op->next;
	if (fifo->tail == link)
		fifo->tail = before;
}

void ready_put(struct poll_ring *r, struct poll_op *op, long res)
{
	op->state = OP_READY;
	op->r.res = res;
	fifo_put(r, &r->ready, op);
}

int ready_take(struct poll_ring *r, int nr, struct io_event *events)
{
	struct poll_op *op;
	int n = 0;

	while (n < nr && (op = fifo_take(r, &r->ready))) {
		event_fill(&events[n++], op->user, op->r.res);
		poll_op_free(r, op);
	}
	return n;
}

/* --- the submission queue --- */

void sq_put(struct poll_ring *r, struct poll_op *op, enum kernel_op kind)
{
	op->kind = kind;
	op->state = OP_QUEUED;
	r->sq[r->sq_len++] = &op->k;
}

void sq_remove(struct poll_ring *r, struct poll_op *op)
{
	for (unsigned int i = 0; i < r->sq_len; i++) {
		if (r->sq[i] != &op->k)
			continue;
		r->sq_len--;
		memmove(&r->sq[i], &r->sq[i + 1], (r->sq_len - i) * sizeof(r->sq[0]));
		break;
	}
}

static unsigned int ctx_room(const struct poll_ctx *ctx)
{
	return ctx->room - ctx->inflight;
}

/*
 * The first context with room for all @len, so that they take one system call and the contexts behind it
 * stay empty; if there is none, the one with the most room. There is some.
 */
static struct poll_ctx *ctx_for(struct poll_ring *r, unsigned int len)
{
	struct poll_ctx *best = r->ctxs;

	for (unsigned int i = 1; i < r->nctxs && ctx_room(best) < len; i++)
		if (ctx_room(&r->ctxs[i]) > ctx_room(best))
			best = &r->ctxs[i];
	return best;
}

void sq_flush(struct poll_ring *r, refuse_fn *refuse)
{
	unsigned int head = 0;

	while (head < r->sq_len) {
		unsigned int len = r->sq_len - head;
		struct poll_ctx *ctx = ctx_for(r, len);
		struct poll_op *op = (struct poll_op *)r->sq[head];
		int n = io_submit(ctx->id, (long)min_of(len, ctx_room(ctx)), &r->sq[head]);

		if (n == -EAGAIN)
			break;
		for (int i = 0; i < n; i++) {
			struct poll_op *taken = (struct poll_op *)r->sq[head + (unsigned int)i];

			taken->state = OP_IN_KERNEL;
			taken->ctx = (uint8_t)(ctx - r->ctxs);
		}
		if (n > 0)
			ctx->inflight += (unsigned int)n;
		else
			n = refuse(r, op, n ? n : -EIO);
		head += (unsigned int)n;
	}
	r->sq_len -= head;
	memmove(r->sq, r->sq + head, r->sq_len * sizeof(r->sq[0]));
}

/* --- reaping --- */

int poll_take(struct poll_ring *r, int nr, struct io_event *events)
{
	int n = 0;

	for (unsigned int i = 0; i < r->nctxs && n < nr; i++) {
		struct poll_ctx *ctx = &r->ctxs[r->turn];
		int got = 0;

		if (ctx->inflight)
			got = r->mapped ? ringmap_take(ctx->id, nr - n, events + n)
					: ringmap_take_syscall(ctx->id, nr - n, events + n);
		ctx->inflight -= (unsigned int)got;
		n += got;
		/* One that filled the room goes last next time. */
		r->turn = r->turn + 1 == r->nctxs ? 0 : r->turn + 1;
	}
	return n;
}

/* --- the eventfd --- */

bool signals_read(struct poll_ring *r)
{
	uint64_t count;

	if (r->signals_owed <= 0 || read(r->taio.fd, &count, sizeof(count)) != sizeof(count))
		return false;
	r->signals_owed -= (int64_t)count;
	return true;
}

/* --- opening and closing --- */

/* Untouched pages cost nothing, so a ring costs what is in flight on it, however large it is. */
static void *reserve(size_t nmemb, size_t size)
{
	void *p = mmap(NULL, nmemb * size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void unreserve(void *p, size_t nmemb, size_t size)
{
	if (p)
		munmap(p, nmemb * size);
}

/* Adds a context of @room operations. 0 or -errno of io_setup(2). */
static int ctx_add(struct poll_ring *r, unsigned int room)
{
	struct poll_ctx *ctx = &r->ctxs[r->nctxs];
	int ret;

	if (r->nctxs == POLL_CTXS_MAX)
		return -EAGAIN;
	*ctx = (struct poll_ctx){0};
	ret = io_setup((int)room, &ctx->id);
	if (ret < 0)
		return ret;
	ctx->room = room;
	r->nctxs++;
	r->taio.entries += room;
	return 0;
}

/* Slots that no context has taken; where /proc does not tell, as many as are wanted. */
static long slots_free(void)
{
	struct taio_slots slots;

	return taio_slots(&slots, false) ? LONG_MAX : slots.max - slots.taken;
}

/*
 * The same with fewer where so many are not free, down to @least. What is free is read first (6 us),
 * because at the limit each new connection asks, and io_setup(2) maps the context's ring before it finds that
 * there are no slots for it (12 to 390 us, by its size). To pause after a failure instead would turn away
 * connections for which there are slots again.
 */
static int ctx_add_some(struct poll_ring *r, unsigned int room, unsigned int least)
{
	long free = slots_free();

	for (;;) {
		int ret = (long)room > free ? -EAGAIN : ctx_add(r, room);

		if (ret != -EAGAIN || room <= least)
			return ret;
		room = room / 2 > least ? room / 2 : least;
	}
}

/* A quarter more at least, so that POLL_CTXS_MAX contexts are enough. */
static unsigned int least_of(unsigned int entries)
{
	return entries / 4 > SLOTS_LEAST ? entries / 4 : SLOTS_LEAST;
}

/* Doubles until @wanted is reached or nothing is to be had. */
void poll_grow(struct taio *ring, unsigned int wanted)
{
	struct poll_ring *r = (struct poll_ring *)ring;
	unsigned int most;

	do
		most = r->max - ring->entries;
	while (ring->entries < wanted &&
	       !ctx_add_some(r, min_of(ring->entries, most), min_of(least_of(ring->entries), most)));
}

static void ops_unreserve(struct poll_ring *r)
{
	unreserve(r->ops, r->max, sizeof(r->ops[0]));
	unreserve(r->sq, r->max, sizeof(r->sq[0]));
}

int poll_ring_init(struct poll_ring *r, const struct taio_params *params, char *why)
{
	unsigned int first = min_of(params->slots ? params->slots : SLOTS_FIRST, params->entries);
	int ret = -ENOMEM;

	r->max = params->entries;
	r->ops = reserve(params->entries, sizeof(r->ops[0]));
	r->sq = reserve(params->entries, sizeof(r->sq[0]));
	if (!r->ops || !r->sq)
		goto say;
	slots_init(&r->slots, params->entries, &r->ops[0].next, sizeof(r->ops[0]));
	r->taio.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->taio.fd < 0) {
		ret = -errno;
		goto say;
	}
	ret = ctx_add_some(r, first, params->slots ? first : min_of(SLOTS_LEAST, first));
	if (ret < 0) {
		aio_nr_explain(ret, first, why);
		close(r->taio.fd);
		goto unreserve;
	}
	r->mapped = ringmap_usable(r->ctxs[0].id, !(params->flags & TAIO_REAP_SYSCALL));
	done_init(&r->done, r->taio.fd);
	return 0;
say:
	snprintf(why, TAIO_WHY_LEN, "cannot open a ring of %u operations: %s", params->entries,
		 strerror(-ret));
unreserve:
	ops_unreserve(r);
	return ret;
}

void poll_ring_fini(struct poll_ring *r)
{
	for (unsigned int i = 0; i < r->nctxs; i++)
		io_destroy(r->ctxs[i].id); /* cancels what waits, and waits for the rest */
	for (uint32_t i = 0; i < r->slots.used; i++) {
		if (r->ops[i].state != OP_FREE && r->ops[i].epfd >= 0)
			close(r->ops[i].epfd);
	}
	done_fini(&r->done);
	close(r->taio.fd);
	ops_unreserve(r);
}
