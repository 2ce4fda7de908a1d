/* SPDX-License-Identifier: MIT */
/*
 * The program's memory where the program says that iocbs are. It need not be there: io_submit(2) gives EFAULT
 * then, and so it must stay. Any thread.
 *
 * A page is checked by a system call when it is first met, and not again. So memory that had iocbs and is
 * unmapped before it is submitted is a segmentation fault where the kernel would have said EFAULT.
 */
#ifndef PRELOAD_MEMORY_H
#define PRELOAD_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies @nbytes, at most a page, from @from. False: they cannot be read. */
bool memory_load(void *to, const void *from, size_t nbytes);

/* False: it cannot be written. */
bool memory_store(uint32_t *to, uint32_t value);

#endif
