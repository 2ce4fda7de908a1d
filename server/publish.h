/* SPDX-License-Identifier: MIT */
/* Files that others wait for: they appear whole or not at all (write beside, then rename(2)). */
#ifndef PUBLISH_H
#define PUBLISH_H

#include <stdio.h>

typedef int publish_fill(FILE *to, void *arg);

/* -errno; on failure @file is as it was. */
int publish(const char *file, publish_fill *fill, void *arg);

#endif
