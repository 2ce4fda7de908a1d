/* SPDX-License-Identifier: MIT */
/* Writes files that others wait for: they appear whole or not at all (a temporary file, then rename(2)). */
#ifndef PUBLISH_H
#define PUBLISH_H

#include <stdio.h>

typedef int publish_fill(FILE *to, void *arg);

/* 0 or -errno; on failure @file is unchanged. */
int publish(const char *file, publish_fill *fill, void *arg);

#endif
