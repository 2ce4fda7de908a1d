/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS_KEPT 64

static void *block_get(struct blocks *blocks)
{
	struct block *block = blocks->free;

	if (!block)
		return malloc(BLOCK_SIZE);
	blocks->free = block->next;
	blocks->nfree--;
	return block;
}

static void block_put(struct blocks *blocks, void *memory)
{
	struct block *block = memory;

	if (blocks->nfree >= BLOCKS_KEPT) {
		free(memory);
		return;
	}
	block->next = blocks->free;
	blocks->free = block;
	blocks->nfree++;
}

void blocks_fini(struct blocks *blocks)
{
	struct block *block;

	while ((block = blocks->free)) {
		blocks->free = block->next;
		free(block);
	}
	blocks->nfree = 0;
}

static void memory_put(struct blocks *blocks, char *data, uint32_t cap)
{
	if (cap == BLOCK_SIZE)
		block_put(blocks, data);
	else if (cap > BLOCK_SIZE)
		free(data);
}

bool buf_grow(struct buf *buf, struct blocks *blocks)
{
	uint32_t cap = buf->cap < BLOCK_SIZE ? BLOCK_SIZE : BUF_MAX;
	char *data;

	if (buf->cap >= BUF_MAX)
		return false;
	data = cap == BLOCK_SIZE ? block_get(blocks) : malloc(cap);
	if (!data)
		return false;
	if (buf->len)
		memcpy(data, buf->data, buf->len);
	memory_put(blocks, buf->data, buf->cap);
	buf->data = data;
	buf->cap = cap;
	return true;
}

bool buf_append(struct buf *buf, struct blocks *blocks, const void *data, size_t len)
{
	while (buf_room(buf) < len)
		if (!buf_grow(buf, blocks))
			return false;
	memcpy(buf->data + buf->len, data, len);
	buf->len += (uint32_t)len;
	return true;
}

void buf_consume(struct buf *buf, size_t len)
{
	buf->len -= (uint32_t)len;
	if (len && buf->len)
		memmove(buf->data, buf->data + len, buf->len);
}

void buf_release(struct buf *buf, struct blocks *blocks)
{
	memory_put(blocks, buf->data, buf->cap);
	*buf = (struct buf){0};
}
