/* SPDX-License-Identifier: MIT */
/* The result as JSON. */
#ifndef JSON_H
#define JSON_H

struct run;

/* Writes to @file, "-" is standard output. 0, or -errno with why[WHY_LEN]. */
int json_write(const struct run *run, const char *file, char *why);

#endif
