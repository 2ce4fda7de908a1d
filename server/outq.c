/* SPDX-License-Identifier: MIT */
/*
 * Queues of output and the free list of their segments. Called by services and conn/output.c on the worker's
 * thread; no other thread sees a segment.
 *
 * Invariant: nbytes is the sum of what the segments hold, memory the sum of their allocations; no segment
 * in the queue is empty, except a tail that is reserved and not yet committed, and a head into which a file
 * is being read.
 */
#include "outq.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Recycled sizes: 512 << class, allocation header of malloc included, so that pages divide evenly; the last
 * is that of a piece.
 */
#define CLASS_MIN_SHIFT 9
#define NCLASSES	8
#define CLASS_MAX_SIZE	(PIECE_MAX + OVERHEAD)
#define MALLOC_OVERHEAD 16
#define OVERHEAD	(sizeof(struct seg) + MALLOC_OVERHEAD)

/* Maximum room of a segment that small appends share: a page. */
#define SHARED_CAP (4096 - OVERHEAD)

/* Larger appends are cut, so that memory goes back as they are sent. */
#define PIECE_MAX 65536U

/* Maximum bytes on the free list of a thread. */
#define POOL_MAX (1024 * 1024)

_Static_assert(OUTQ_ROOM_MAX + OVERHEAD + 512 <= CLASS_MAX_SIZE,
	       "a head and its room fit a recycled segment");

static _Thread_local struct {
	struct seg *free[NCLASSES]; /* linked by link.stqe_next */
	size_t nbytes;
	size_t used; /* bytes of segments that are not free */
} pool;

static unsigned int class_of(size_t size)
{
	if (size <= 1U << CLASS_MIN_SHIFT)
		return 0;
	if (size > 1U << (CLASS_MIN_SHIFT + NCLASSES - 2))
		return NCLASSES - 1;
	return 64 - (unsigned int)__builtin_clzl(size - 1) - CLASS_MIN_SHIFT;
}

static size_t class_size(unsigned int class)
{
	return class == NCLASSES - 1 ? CLASS_MAX_SIZE : (size_t)1 << (class + CLASS_MIN_SHIFT);
}

static size_t mem_size(const struct seg *seg)
{
	return seg->mem.cap + OVERHEAD;
}

static struct seg *mem_create(size_t cap)
{
	size_t size = cap + OVERHEAD;
	struct seg *seg;

	if (size <= CLASS_MAX_SIZE) {
		unsigned int class = class_of(size);

		size = class_size(class);
		seg = pool.free[class];
		if (seg) {
			pool.free[class] = STAILQ_NEXT(seg, link);
			pool.nbytes -= size;
			goto found;
		}
	}
	seg = malloc(size - MALLOC_OVERHEAD);
	if (!seg)
		return NULL;
	seg->kind = SEG_MEM;
	seg->mem.cap = (uint32_t)(size - OVERHEAD);
found:
	pool.used += mem_size(seg);
	seg->mem.begin = seg->mem.end = 0;
	return seg;
}

static void mem_destroy(struct seg *seg)
{
	size_t size = mem_size(seg);

	pool.used -= size;
	if (size > CLASS_MAX_SIZE || pool.nbytes + size > POOL_MAX) {
		free(seg);
		return;
	}
	STAILQ_NEXT(seg, link) = pool.free[class_of(size)];
	pool.free[class_of(size)] = seg;
	pool.nbytes += size;
}

static void release(struct outq *q, struct seg *seg)
{
	if (seg->kind == SEG_MEM) {
		q->memory -= mem_size(seg);
		mem_destroy(seg);
		return;
	}
	q->memory -= sizeof(*seg);
	pool.used -= sizeof(*seg);
	outq_file_put(seg->range.file);
	free(seg);
}

void outq_init(struct outq *q)
{
	STAILQ_INIT(&q->segs);
	q->nbytes = 0;
	q->memory = 0;
	q->taken = 0;
}

void outq_clear(struct outq *q)
{
	struct seg *seg;

	while ((seg = STAILQ_FIRST(&q->segs))) {
		STAILQ_REMOVE_HEAD(&q->segs, link);
		release(q, seg);
	}
	q->nbytes = 0;
}

/* glibc's sys/queue.h has no STAILQ_LAST. */
static struct seg *tail(const struct outq *q)
{
	if (STAILQ_EMPTY(&q->segs))
		return NULL;
	return (struct seg *)((char *)q->segs.stqh_last - offsetof(struct seg, link.stqe_next));
}

/* @need bytes at the tail, in a new segment of @cap bytes if the present one has less. */
static char *tail_space(struct outq *q, size_t need, size_t cap)
{
	struct seg *seg = tail(q);

	if (!seg || seg->kind != SEG_MEM || seg->mem.cap - seg->mem.end < need) {
		seg = mem_create(cap);
		if (!seg)
			return NULL;
		STAILQ_INSERT_TAIL(&q->segs, seg, link);
		q->memory += mem_size(seg);
	}
	return seg->data + seg->mem.end;
}

char *outq_reserve(struct outq *q, size_t len, uint64_t room)
{
	size_t need = len + (room <= OUTQ_ROOM_MAX ? room : 0);

	return tail_space(q, need, need);
}

void outq_commit(struct outq *q, size_t len)
{
	struct seg *seg = tail(q);

	seg->mem.end += (uint32_t)len;
	q->nbytes += len;
}

/* Puts @data into a chain of new segments, so that a failure leaves the queue unchanged. */
static int chain_create(struct seg_list *list, const char *data, size_t len)
{
	struct seg *seg;

	while (len) {
		size_t n = len < PIECE_MAX ? len : PIECE_MAX;

		seg = mem_create(n);
		if (!seg)
			return -ENOMEM;
		STAILQ_INSERT_TAIL(list, seg, link);
		memcpy(seg->data, data, n);
		seg->mem.end = (uint32_t)n;
		data += n;
		len -= n;
	}
	return 0;
}

static void chain_destroy(struct seg_list *list)
{
	struct seg *seg;

	while ((seg = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, link);
		mem_destroy(seg);
	}
}

static int append_long(struct outq *q, const char *data, size_t len)
{
	struct seg_list list = STAILQ_HEAD_INITIALIZER(list);
	struct seg *seg;
	int err = chain_create(&list, data, len);

	if (err) {
		chain_destroy(&list);
		return err;
	}
	STAILQ_FOREACH (seg, &list, link)
		q->memory += mem_size(seg);
	STAILQ_CONCAT(&q->segs, &list);
	q->nbytes += len;
	return 0;
}

int outq_append(struct outq *q, const void *data, size_t len)
{
	/* A queue that grows by small appends will probably get more of them. */
	size_t cap = q->nbytes > len ? (q->nbytes < SHARED_CAP ? q->nbytes : SHARED_CAP) : len;
	char *to;

	if (!len)
		return 0;
	if (len > SHARED_CAP)
		return append_long(q, data, len);
	to = tail_space(q, len, cap);
	if (!to)
		return -ENOMEM;
	memcpy(to, data, len);
	outq_commit(q, len);
	return 0;
}

int outq_printf(struct outq *q, const char *fmt, ...)
{
	va_list args, again;
	char *to;
	int len, err = 0;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	to = len >= 0 ? outq_reserve(q, (size_t)len + 1, 0) : NULL;
	if (to) {
		vsnprintf(to, (size_t)len + 1, fmt, again);
		outq_commit(q, (size_t)len);
	} else {
		err = -ENOMEM;
	}
	va_end(again);
	va_end(args);
	return err;
}

int outq_append_file(struct outq *q, struct outq_file *file, uint64_t offset, uint64_t len)
{
	return outq_append_body(q, file, offset, len, 0, 0);
}

int outq_append_body(struct outq *q, struct outq_file *file, uint64_t offset, uint64_t len, size_t head,
		     uint32_t note)
{
	struct seg *seg = malloc(sizeof(*seg));

	if (!seg) {
		outq_file_put(file);
		return -ENOMEM;
	}
	seg->kind = SEG_FILE;
	seg->range.file = file;
	seg->range.offset = offset;
	seg->range.len = len;
	seg->range.head = (uint32_t)head;
	seg->range.note = note;
	STAILQ_INSERT_TAIL(&q->segs, seg, link);
	q->memory += sizeof(*seg);
	pool.used += sizeof(*seg);
	q->nbytes += len;
	return 0;
}

void outq_splice(struct outq *q, struct outq *from)
{
	STAILQ_CONCAT(&q->segs, &from->segs);
	q->nbytes += from->nbytes;
	q->memory += from->memory;
	outq_init(from);
}

/* Takes up to @len bytes off @seg; returns how many, and sets whether @seg is empty now. */
static uint64_t seg_consume(struct seg *seg, uint64_t len, bool *empty)
{
	uint64_t waits = seg->kind == SEG_MEM ? seg->mem.end - seg->mem.begin : seg->range.len;

	*empty = len >= waits;
	if (*empty)
		return waits;
	if (seg->kind == SEG_MEM) {
		seg->mem.begin += (uint32_t)len;
	} else {
		seg->range.offset += len;
		seg->range.len -= len;
	}
	return len;
}

void outq_consume(struct outq *q, uint64_t len)
{
	struct seg *seg;
	bool empty;

	q->nbytes -= len;
	q->taken += len;
	while (len && (seg = STAILQ_FIRST(&q->segs))) {
		len -= seg_consume(seg, len, &empty);
		if (!empty)
			break;
		STAILQ_REMOVE_HEAD(&q->segs, link);
		release(q, seg);
	}
}

bool outq_is_callable(const struct seg *seg)
{
	const struct seg *range = STAILQ_NEXT(seg, link);

	return range->range.head && range->range.head <= seg->mem.end - seg->mem.begin;
}

void outq_fill(struct outq *q, struct seg *seg, uint32_t len)
{
	struct seg *range = STAILQ_NEXT(seg, link);

	/* What is read in joins the response's head, so that all of it can still be called back. */
	range->range.head = outq_is_callable(seg) ? range->range.head + len : 0;
	seg->mem.end += len;
	range->range.offset += len;
	range->range.len -= len;
	if (range->range.len)
		return;
	STAILQ_REMOVE(&q->segs, range, seg, link);
	release(q, range);
}

/* Moves what is behind @last to @rest. */
static void split(struct outq *q, struct seg *last, struct outq *rest)
{
	struct seg *seg;

	while ((seg = STAILQ_NEXT(last, link))) {
		size_t memory = seg->kind == SEG_MEM ? mem_size(seg) : sizeof(*seg);
		uint64_t nbytes = seg->kind == SEG_MEM ? seg->mem.end - seg->mem.begin : seg->range.len;

		STAILQ_REMOVE(&q->segs, seg, seg, link);
		STAILQ_INSERT_TAIL(&rest->segs, seg, link);
		q->memory -= memory;
		rest->memory += memory;
		q->nbytes -= nbytes;
		rest->nbytes += nbytes;
	}
}

struct outq_file *outq_call_back(struct outq *q, struct seg *seg, struct outq *rest, uint32_t *note)
{
	struct seg *range = STAILQ_NEXT(seg, link);
	struct outq_file *file = outq_file_get(range->range.file);

	*note = range->range.note;
	split(q, range, rest);
	q->nbytes -= range->range.head + range->range.len;
	seg->mem.end -= range->range.head;
	STAILQ_REMOVE(&q->segs, range, seg, link);
	release(q, range);
	if (seg->mem.begin == seg->mem.end) {
		STAILQ_REMOVE(&q->segs, seg, seg, link);
		release(q, seg);
	}
	return file;
}

struct seg *outq_head_room(struct outq *q, uint64_t room)
{
	struct seg *seg = mem_create(room < PIECE_MAX ? room : PIECE_MAX);

	if (!seg)
		return NULL;
	STAILQ_INSERT_HEAD(&q->segs, seg, link);
	q->memory += mem_size(seg);
	return seg;
}

size_t outq_used(void)
{
	return pool.used;
}

size_t outq_kept(void)
{
	return pool.nbytes;
}

void outq_trim(void)
{
	struct seg *seg;

	for (unsigned int i = 0; i < NCLASSES; i++) {
		while ((seg = pool.free[i])) {
			pool.free[i] = STAILQ_NEXT(seg, link);
			free(seg);
		}
	}
	pool.nbytes = 0;
}
