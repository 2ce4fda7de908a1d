/* SPDX-License-Identifier: MIT */
/* Rows of an option table by name: for the command line and the configuration file. Not for programs. */
#ifndef OPT_TABLE_H
#define OPT_TABLE_H

#include "opt.h"

/* Is it a key of the configuration file? */
bool opt_is_key(const struct opt *opt);

const struct opt *opt_find(const struct opt_program *program, const char *name);
const struct opt *opt_find_row(const struct opt *table, const char *name);

/* The row whose name is one typing error away from @name, or NULL. */
const struct opt *opt_nearest(const struct opt *table, const char *name);

#endif
