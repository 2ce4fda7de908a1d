/* SPDX-License-Identifier: MIT */
/*
 * Bytes in transit, in memory that is borrowed only while there are any: inline in the connection while
 * small, then one of the worker's blocks, of a size that grows with them.
 */
#ifndef CONN_BUF_H
#define CONN_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_SMALL (4 * 1024)	/* most requests, responses and handshakes */
#define BLOCK_SIZE  (18 * 1024) /* a TLS record with some to spare */
#define BUF_MAX	    (66 * 1024) /* four of them; no buffer grows beyond this */

#define BLOCK_NSIZES 3

struct block {
	struct block *next;
};

/* The free blocks of a worker, by size; a few are kept. All zero is empty. */
struct blocks {
	size_t used; /* bytes of blocks that are not free */
	size_t kept; /* of those that are */
	struct {
		struct block *free;
		unsigned int n;
	} lists[BLOCK_NSIZES];
};

/* Frees those that are free, all of them. */
void blocks_trim(struct blocks *blocks);

/* data[0..len) waits. All zero: nothing is held. If cap is below BLOCK_SMALL, the memory belongs to somebody
 * else. */
struct buf {
	char *data;
	uint32_t len, cap;
};

static inline size_t buf_room(const struct buf *buf)
{
	return buf->cap - buf->len;
}

/* Moves the bytes to the next larger memory. False: no memory, or BUF_MAX is reached. */
bool buf_grow(struct buf *buf, struct blocks *blocks);
/* Grows it until it has room for @room bytes, or is as large as a buffer gets. False: no memory. */
bool buf_reserve(struct buf *buf, struct blocks *blocks, size_t room);
bool buf_append(struct buf *buf, struct blocks *blocks, const void *data, size_t len);
/* Removes the first @len bytes. */
void buf_consume(struct buf *buf, size_t len);
/* Gives the memory back; nothing is held then. */
void buf_release(struct buf *buf, struct blocks *blocks);

#endif
