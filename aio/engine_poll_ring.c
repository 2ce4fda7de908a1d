/* SPDX-License-Identifier: MIT */
/*
 * Owns the operations of engine poll's ring, its kernel context and its eventfd. Called by engine_poll.c on
 * the ring's thread. Invariants: an operation is in at most one of the free list, a fifo, the submission
 * queue; an eventfd write that belongs to no event seen is never read back, so that the fd stays readable for
 * it.
 */
#include "engine_poll_ring.h"

#include "ringmap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

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

void sq_flush(struct poll_ring *r, refuse_fn *refuse)
{
	unsigned int head = 0;

	while (head < r->sq_len) {
		struct poll_op *op = (struct poll_op *)r->sq[head];
		int n = io_submit(r->ctx, (long)(r->sq_len - head), &r->sq[head]);

		if (n == -EAGAIN)
			break;
		for (int i = 0; i < n; i++)
			((struct poll_op *)r->sq[head + (unsigned int)i])->state = OP_IN_KERNEL;
		if (n <= 0)
			n = refuse(r, op, n ? n : -EIO);
		head += (unsigned int)n;
	}
	r->sq_len -= head;
	memmove(r->sq, r->sq + head, r->sq_len * sizeof(r->sq[0]));
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

static long sysctl_read(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

static void explain_setup(int err, unsigned int entries, char *why)
{
	long max = sysctl_read("/proc/sys/fs/aio-max-nr"), used = sysctl_read("/proc/sys/fs/aio-nr");

	if (err == -EAGAIN && max >= 0)
		snprintf(why, TAIO_WHY_LEN,
			 "io_setup: fs.aio-max-nr is %ld, %ld of it is in use and %u more is needed: sysctl "
			 "-w "
			 "fs.aio-max-nr=%ld",
			 max, used, entries, 2 * (used + (long)entries));
	else if (err == -ENOSYS)
		snprintf(why, TAIO_WHY_LEN,
			 "io_setup: this kernel has no aio (CONFIG_AIO), or a seccomp filter blocks it");
	else
		snprintf(why, TAIO_WHY_LEN, "io_setup for %u operations: %s", entries, strerror(-err));
}

static void ops_unreserve(struct poll_ring *r)
{
	unreserve(r->ops, r->taio.entries, sizeof(r->ops[0]));
	unreserve(r->sq, r->taio.entries, sizeof(r->sq[0]));
}

int poll_ring_init(struct poll_ring *r, const struct taio_params *params, char *why)
{
	int ret = -ENOMEM;

	r->taio.entries = params->entries;
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
	ret = io_setup((int)params->entries, &r->ctx);
	if (ret < 0) {
		explain_setup(ret, params->entries, why);
		close(r->taio.fd);
		goto unreserve;
	}
	r->mapped = ringmap_usable(r->ctx, !(params->flags & TAIO_REAP_SYSCALL));
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
	io_destroy(r->ctx); /* cancels what waits, and waits for the rest */
	for (uint32_t i = 0; i < r->slots.used; i++) {
		if (r->ops[i].state != OP_FREE && r->ops[i].epfd >= 0)
			close(r->ops[i].epfd);
	}
	done_fini(&r->done);
	close(r->taio.fd);
	ops_unreserve(r);
}
