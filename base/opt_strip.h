/* SPDX-License-Identifier: MIT */
/* A configuration file without its comments, for opt_conf.c. Not for programs. */
#ifndef OPT_STRIP_H
#define OPT_STRIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Reads @from to its end. The text, never empty, is allocated in *text; its lines have the numbers that they
 * have in the file. *is_open: a brace is not closed at the end. -ENOMEM, or -EIO if @from cannot be read.
 */
int opt_strip(FILE *from, char **text, size_t *len, bool *is_open);

#endif
