/* SPDX-License-Identifier: MIT */
/* One option's value between text and memory: what opt.c, opt_conf.c and opt_man.c share. Not for programs.
 */
#ifndef OPT_VALUE_H
#define OPT_VALUE_H

#include "opt.h"

/*
 * Sets @opt's field from @text (OPT_LIST: appends an item). -EINVAL or -ERANGE with why[OPT_WHY_LEN] = "must
 * be
 * ..., not '...'"; -ENOMEM. On failure the field is as it was.
 */
int opt_assign(const struct opt *opt, void *settings, const char *text, char *why);

/* The field as opt_assign() would read it, allocated; NULL: unset or no memory. Not for OPT_LIST. */
char *opt_value_text(const struct opt *opt, const void *settings);

/* Frees what the field owns and leaves it unset. */
void opt_clear(const struct opt *opt, void *settings);

struct opt_list *opt_list_of(const struct opt *opt, void *settings);

/* May it stand in the configuration file? */
bool opt_is_key(const struct opt *opt);

const struct opt *opt_find(const struct opt_program *program, const char *name);

/* The option whose name is a slip of the finger away from @name, or NULL. */
const struct opt *opt_nearest(const struct opt_program *program, const char *name);

/*
 * Writes @text filled to @width columns, each further line opened by @indent; @column is where the first
 * begins. Newlines of the text count as blanks, an empty line as a new paragraph. Ends with a newline.
 */
void opt_fill(FILE *to, const char *text, size_t column, const char *indent, size_t width);

/* "one of poll, epoll", "from 1 to 64k", "at least 1ms" into buf; "" if there is nothing to say. */
char *opt_bounds(const struct opt *opt, char *buf, size_t len);

#endif
