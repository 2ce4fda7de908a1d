/* SPDX-License-Identifier: MIT */
/*
 * Arrays by descriptor, which grow with the largest descriptor seen. An owner keeps the array and its
 * length.
 */
#ifndef TAIO_FD_TABLE_H
#define TAIO_FD_TABLE_H

#include <stddef.h>

/*
 * Makes room for row @fd in @rows (NULL at first), which has *@nr rows of @row_size bytes. Returns the array,
 * which may have moved and whose new rows are zero, or NULL (out of memory) and nothing has changed.
 * free(3) it.
 */
void *fd_table_grow(void *rows, unsigned int *nr, size_t row_size, int fd);

#endif
