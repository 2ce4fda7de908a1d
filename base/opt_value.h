/* SPDX-License-Identifier: MIT */
/* One option's value between text and memory, for all base/opt_*.c. Not for programs. */
#ifndef OPT_VALUE_H
#define OPT_VALUE_H

#include "opt.h"

/*
 * Sets @opt's field from @text (OPT_LIST: appends an item). -EINVAL or -ERANGE, with "must be ..., not '...'"
 * in why[OPT_WHY_LEN]; -ENOMEM. On failure the field is unchanged.
 */
int opt_assign(const struct opt *opt, void *settings, const char *text, char *why);

/* The field as opt_assign() would read it, allocated; NULL: unset or no memory. Not for OPT_LIST and
 * OPT_BLOCKS. */
char *opt_value_text(const struct opt *opt, const void *settings);

/* 0 or -ENOMEM. Not for OPT_BLOCKS. */
int opt_copy_value(const struct opt *opt, const void *from, void *to);

/* Frees what the field owns and leaves it unset. */
void opt_clear(const struct opt *opt, void *settings);

struct opt_list *opt_list_of(const struct opt *opt, void *settings);
struct opt_blocks *opt_blocks_of(const struct opt *opt, void *settings);

/* "one of poll, epoll", "from 1 to 64k", "at least 1ms" into buf; "" if the option has no bounds. */
char *opt_bounds(const struct opt *opt, char *buf, size_t len);

#endif
