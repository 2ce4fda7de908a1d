/* SPDX-License-Identifier: MIT */
/*
 * Bytes in transit, in memory that is borrowed only while there are any: inline in the connection while
 * small, then one of the worker's blocks, then a large block.
 */
#ifndef CONN_BUF_H
#define CONN_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_SIZE (18 * 1024) /* a TLS record with some to spare */
#define BUF_MAX	   (64 * 1024) /* no buffer grows beyond this */

struct block {
	struct block *next;
};

/* The free blocks of a worker; a few are kept. All zero is an empty list. */
struct blocks {
	struct block *free;
	unsigned int nfree;
};

void blocks_fini(struct blocks *blocks);

/* data[0..len) waits. All zero: nothing is held. If cap is below BLOCK_SIZE, the memory belongs to somebody
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
bool buf_append(struct buf *buf, struct blocks *blocks, const void *data, size_t len);
/* Removes the first @len bytes. */
void buf_consume(struct buf *buf, size_t len);
/* Gives the memory back; nothing is held then. */
void buf_release(struct buf *buf, struct blocks *blocks);

#endif
