/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

/* Indexed by the k of the functions below. */
static const struct {
	uint32_t size;
	unsigned int kept; /* on the free list, at most */
} sizes[BLOCK_NSIZES] = {{BLOCK_SMALL, 256}, {BLOCK_SIZE, 64}, {BUF_MAX, 16}};

static void *block_get(struct blocks *blocks, unsigned int k)
{
	struct block *block = blocks->lists[k].free;

	if (block) {
		blocks->lists[k].free = block->next;
		blocks->lists[k].n--;
		blocks->kept -= sizes[k].size;
	} else {
		block = malloc(sizes[k].size);
	}
	if (block)
		blocks->used += sizes[k].size;
	return block;
}

static void block_put(struct blocks *blocks, unsigned int k, void *memory)
{
	struct block *block = memory;

	blocks->used -= sizes[k].size;
	if (blocks->lists[k].n >= sizes[k].kept) {
		free(memory);
		return;
	}
	block->next = blocks->lists[k].free;
	blocks->lists[k].free = block;
	blocks->lists[k].n++;
	blocks->kept += sizes[k].size;
}

void blocks_trim(struct blocks *blocks)
{
	struct block *block;

	for (unsigned int k = 0; k < BLOCK_NSIZES; k++) {
		while ((block = blocks->lists[k].free)) {
			blocks->lists[k].free = block->next;
			free(block);
		}
		blocks->lists[k].n = 0;
	}
	blocks->kept = 0;
}

/* The least of the sizes above @cap bytes. */
static unsigned int size_above(uint32_t cap)
{
	unsigned int k = 0;

	while (sizes[k].size <= cap)
		k++;
	return k;
}

static void memory_put(struct blocks *blocks, char *data, uint32_t cap)
{
	if (cap >= BLOCK_SMALL)
		block_put(blocks, size_above(cap - 1), data);
}

static bool grow_to(struct buf *buf, struct blocks *blocks, unsigned int k)
{
	char *data = block_get(blocks, k);

	if (!data)
		return false;
	if (buf->len)
		memcpy(data, buf->data, buf->len);
	memory_put(blocks, buf->data, buf->cap);
	buf->data = data;
	buf->cap = sizes[k].size;
	return true;
}

bool buf_grow(struct buf *buf, struct blocks *blocks)
{
	return buf->cap < BUF_MAX && grow_to(buf, blocks, size_above(buf->cap));
}

bool buf_reserve(struct buf *buf, struct blocks *blocks, size_t room)
{
	size_t cap = buf->len + room;

	if (cap > BUF_MAX)
		cap = BUF_MAX;
	return buf->cap >= cap || grow_to(buf, blocks, size_above((uint32_t)cap - 1));
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
