/* SPDX-License-Identifier: GPL-2.0 */
/* The target of a proxy: which files a helper may touch in its submitter's place. */
#ifndef TAIO_TARGET_H
#define TAIO_TARGET_H

#include <linux/types.h>

struct file;

/* 0; -EISDIR: a directory; -EINVAL: io_submit(2) could not read or write it either; -EOPNOTSUPP: not on the list. */
int target_check(struct file *target);

/*
 * For each operation on a regular file: false if it is not on the list any more. On overlayfs one that was opened for
 * reading is read from the upper layer once somebody has opened it for writing. May sleep.
 */
bool target_is_where_it_was(const struct file *target);

#endif
