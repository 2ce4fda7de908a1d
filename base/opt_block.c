/* SPDX-License-Identifier: MIT */
#include "opt_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int opt_block_add(struct opt_block *block, const char *name, const char *text, unsigned int line)
{
	struct opt_entry *entries = reallocarray(block->entries, block->len + 1, sizeof(*entries));
	struct opt_entry entry = {.name = strdup(name), .text = strdup(text), .line = line};

	if (entries)
		block->entries = entries;
	if (!entries || !entry.name || !entry.text) {
		free(entry.name);
		free(entry.text);
		return -ENOMEM;
	}
	entries[block->len++] = entry;
	return 0;
}

static void entry_free(struct opt_entry *entry)
{
	free(entry->name);
	free(entry->text);
}

void opt_block_remove(struct opt_block *block, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < block->len; i++) {
		if (strcmp(block->entries[i].name, name) != 0)
			block->entries[kept++] = block->entries[i];
		else
			entry_free(&block->entries[i]);
	}
	block->len = kept;
}

void opt_block_clear(struct opt_block *block)
{
	for (size_t i = 0; i < block->len; i++)
		entry_free(&block->entries[i]);
	free(block->entries);
	free(block->title);
	*block = (struct opt_block){0};
}

int opt_blocks_append(struct opt_blocks *blocks, struct opt_block *block)
{
	struct opt_block *items = reallocarray(blocks->items, blocks->len + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	blocks->items = items;
	items[blocks->len++] = *block;
	*block = (struct opt_block){0};
	return 0;
}

void opt_blocks_clear(struct opt_blocks *blocks)
{
	for (size_t i = 0; i < blocks->len; i++)
		opt_block_clear(&blocks->items[i]);
	free(blocks->items);
	*blocks = (struct opt_blocks){0};
}

static bool block_equal(const struct opt_block *a, const struct opt_block *b)
{
	if (a->len != b->len || strcmp(a->title, b->title) != 0)
		return false;
	for (size_t i = 0; i < a->len; i++) {
		if (strcmp(a->entries[i].name, b->entries[i].name) != 0 ||
		    strcmp(a->entries[i].text, b->entries[i].text) != 0)
			return false;
	}
	return true;
}

bool opt_blocks_equal(const struct opt_blocks *a, const struct opt_blocks *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++) {
		if (!block_equal(&a->items[i], &b->items[i]))
			return false;
	}
	return true;
}
