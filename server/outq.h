/* SPDX-License-Identifier: MIT */
/*
 * Output that a service has produced and the network has not yet taken: spans of memory and ranges of files,
 * in order. A service appends; conn/output.c takes from the head.
 *
 * Memory segments come from the thread's free list, so that a busy connection allocates nothing and an idle
 * one holds nothing; outq_trim() frees that list before the thread ends.
 */
#ifndef OUTQ_H
#define OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* What has become of a file since its ranges were appended. */
enum outq_file_state {
	OUTQ_FILE_SAME,
	OUTQ_FILE_GREW,	   /* it has become longer; what it had is as it was */
	OUTQ_FILE_CHANGED, /* anything else */
};

/*
 * A file whose ranges are in queues; embedded in its owner's struct. Counted: each range holds one
 * reference.
 */
struct outq_file {
	int afd;	  /* for use in iocbs (taio_attach) */
	const char *name; /* for messages; lives as long as the file */
	unsigned int refs;
	void (*release)(struct outq_file *file); /* the last reference is gone */

	/* @len bytes at @offset were just read to @data: are they of the file that was appended? NULL: they
	 * are. */
	enum outq_file_state (*check)(struct outq_file *file, uint64_t offset, const char *data, size_t len);
};

static inline struct outq_file *outq_file_get(struct outq_file *file)
{
	file->refs++;
	return file;
}

/* Every operation on the file that used this reference must have completed. */
static inline void outq_file_put(struct outq_file *file)
{
	if (--file->refs == 0)
		file->release(file);
}

enum seg_kind { SEG_MEM, SEG_FILE };

struct seg {
	STAILQ_ENTRY(seg) link;
	enum seg_kind kind;
	union {
		struct {
			uint32_t begin, end, cap; /* data[begin..end) waits; data[end..cap) is room */
		} mem;
		struct {
			struct outq_file *file;
			uint64_t offset, len;
			uint32_t head; /* bytes of its response in the segment before; 0: some are gone */
			uint32_t note; /* the service's */
		} range;
	};
	char data[]; /* SEG_MEM */
};

STAILQ_HEAD(seg_list, seg);

struct outq {
	struct seg_list segs;
	uint64_t nbytes; /* total waiting: memory and file ranges */
	size_t memory;	 /* bytes of memory held for them */
	uint64_t taken;	 /* bytes taken so far */
};

/* A file range of up to this many bytes can be read in behind the response head that precedes it. */
#define OUTQ_ROOM_MAX (15 * 1024)

void outq_init(struct outq *q);
void outq_clear(struct outq *q);
static inline bool outq_empty(const struct outq *q)
{
	return q->nbytes == 0;
}

/* Where the next byte goes: how many were taken, or wait. What is called back no longer counts. */
static inline uint64_t outq_end(const struct outq *q)
{
	return q->taken + q->nbytes;
}

/* Append: 0 or -ENOMEM; on failure nothing was appended. Small appends share a segment. */
int outq_append(struct outq *q, const void *data, size_t len);
int outq_printf(struct outq *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The queue takes over the reference on @file, even on failure. @len is not 0. */
int outq_append_file(struct outq *q, struct outq_file *file, uint64_t offset, uint64_t len);

/*
 * The same for the body of a response whose head is the last @head bytes appended: until some of it has been
 * taken the whole response can be called back, and the service be asked for another with this @note.
 */
int outq_append_body(struct outq *q, struct outq_file *file, uint64_t offset, uint64_t len, size_t head,
		     uint32_t note);

/*
 * Space for @len bytes at the tail, to be written and then made output by outq_commit() of up to @len of
 * them; NULL without memory. @room bytes more (none if above OUTQ_ROOM_MAX) are kept free behind them in the
 * same segment, for the bytes of a file range that is appended next.
 */
char *outq_reserve(struct outq *q, size_t len, uint64_t room);
void outq_commit(struct outq *q, size_t len);

/* Moves all of @from behind @q; @from is empty afterwards. */
void outq_splice(struct outq *q, struct outq *from);

/* Taking: the first @len (up to nbytes) bytes were sent, or dropped. Empty segments are released. */
void outq_consume(struct outq *q, uint64_t len);

/*
 * The first @len bytes of the file range behind @seg were read to data[end] of @seg: they become memory. A
 * range that is used up is released. For what a truncated file no longer has, call outq_consume() or clear.
 */
void outq_fill(struct outq *q, struct seg *seg, uint32_t len);

/* Whether the file range behind @seg is the body of a response of which nothing has been taken. */
bool outq_is_callable(const struct seg *seg);
/*
 * Takes this response off @q, the reference on the file included, which is the caller's now; what is behind
 * it goes to @rest, which is empty before. @seg may be freed.
 */
struct outq_file *outq_call_back(struct outq *q, struct seg *seg, struct outq *rest, uint32_t *note);

/*
 * An empty segment with @room bytes (maximum 64 KiB) of space before the file range at the head, to be given
 * to outq_fill(); NULL without memory.
 */
struct seg *outq_head_room(struct outq *q, uint64_t room);

/* Bytes of memory in the queues of the calling thread, and on its free list. */
size_t outq_used(void);
size_t outq_kept(void);

/* Frees the calling thread's free list. */
void outq_trim(void);

#endif
