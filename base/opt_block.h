/* SPDX-License-Identifier: MIT */
/* Blocks of a configuration file, as they are read, compared and freed. Not for programs. */
#ifndef OPT_BLOCK_H
#define OPT_BLOCK_H

#include "opt.h"

/* Adds an entry behind those that are there. 0 or -ENOMEM. */
int opt_block_add(struct opt_block *block, const char *name, const char *text, unsigned int line);

/* Removes every entry of that name. */
void opt_block_remove(struct opt_block *block, const char *name);

/* Frees what @block owns and leaves it empty. */
void opt_block_clear(struct opt_block *block);

/* On success @block is empty: what it was is the last of @blocks. 0 or -ENOMEM. */
int opt_blocks_append(struct opt_blocks *blocks, struct opt_block *block);

void opt_blocks_clear(struct opt_blocks *blocks);
bool opt_blocks_equal(const struct opt_blocks *a, const struct opt_blocks *b);

#endif
