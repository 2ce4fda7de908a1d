/* SPDX-License-Identifier: MIT */
/* The latency distribution as a file. */
#ifndef HGRM_H
#define HGRM_H

struct run;

/* Writes to @file. 0, or -errno with why[WHY_LEN]. */
int hgrm_write(const struct run *run, const char *file, char *why);

#endif
