/* SPDX-License-Identifier: MIT */
/* Where an included file is, for opt_conf.c. Not for programs. */
#ifndef OPT_INCLUDE_H
#define OPT_INCLUDE_H

#include <stdbool.h>

/* Is @name a pattern of glob(3) rather than a name? */
bool opt_is_pattern(const char *name);

/*
 * The path of @name, which @file includes: from that file's directory, unless it is absolute. Of a pattern,
 * it is one in which the directory's characters stand for themselves. Allocated; NULL: no memory.
 */
char *opt_include_path(const char *file, const char *name);

#endif
