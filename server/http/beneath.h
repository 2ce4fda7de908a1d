/* SPDX-License-Identifier: MIT */
/*
 * Opens files beneath a directory: no symbolic link and no ".." leads out of it, whatever is renamed
 * meanwhile. Used by file.c and its tests.
 */
#ifndef HTTP_BENEATH_H
#define HTTP_BENEATH_H

#include <stdint.h>

/*
 * Opens @path ("" or ".": the directory itself) beneath @dirfd; @flags are those of open(2) without O_CREAT
 * and O_NOFOLLOW. Returns the descriptor, close-on-exec, or -errno: -EXDEV if the way leads out of the
 * directory, -ELOOP after 40 links. Uses openat2(2), or walks step by step where it is unavailable.
 */
int beneath_open(int dirfd, const char *path, uint64_t flags);

/* The same, always step by step. -ENAMETOOLONG also for more than 64 nested directories. */
int beneath_walk(int dirfd, const char *path, uint64_t flags);

#endif
