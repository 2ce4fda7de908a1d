/* SPDX-License-Identifier: GPL-2.0 */
/* The target of a proxy: which files a helper may touch in its submitter's place. */
#ifndef TAIO_TARGET_H
#define TAIO_TARGET_H

struct file;

/* 0; -EISDIR: a directory; -EINVAL: io_submit(2) could not read or write it either; -EOPNOTSUPP: not on the list. */
int target_check(struct file *target);

#endif
