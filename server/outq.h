/* SPDX-License-Identifier: MIT */
/*
 * Output that a service has produced and the network has not taken: spans of memory and ranges of files,
 * in order. A service appends, out.c takes from the head; both on the worker's thread.
 */
#ifndef OUTQ_H
#define OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct file;

enum seg_kind { SEG_MEM, SEG_FILE };

struct seg {
	STAILQ_ENTRY(seg) link;
	enum seg_kind kind;
	union {
		struct {
			uint32_t begin, end, cap; /* data[begin..end) waits; data[end..cap) is room */
		} mem;
		struct {
			struct file *file; /* one reference is the segment's */
			uint64_t offset, len;
		} range;
	};
	char data[]; /* SEG_MEM */
};

struct outq {
	STAILQ_HEAD(, seg) segs;
	uint64_t nbytes; /* all that waits: memory and file ranges */
	size_t memory;	 /* bytes of memory held for it */
};

void outq_init(struct outq *q);
void outq_clear(struct outq *q);
static inline bool outq_empty(const struct outq *q) { return q->nbytes == 0; }

/* 0 or -ENOMEM; on failure nothing was appended. Small appends share a segment. */
int outq_append(struct outq *q, const void *data, size_t len);
int outq_printf(struct outq *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The reference on @file becomes the queue's, also on failure. */
int outq_append_file(struct outq *q, struct file *file, uint64_t offset, uint64_t len);

#endif
