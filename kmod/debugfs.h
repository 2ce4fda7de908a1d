/* SPDX-License-Identifier: GPL-2.0 */
/* What the module shows in debugfs. main.c starts and stops it. */
#ifndef TAIO_DEBUGFS_H
#define TAIO_DEBUGFS_H

/* Cannot fail: without debugfs there is nothing to see. */
void debugfs_start(void);
void debugfs_stop(void);

#endif
