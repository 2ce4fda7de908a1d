/* SPDX-License-Identifier: GPL-2.0 */
/* /dev/taio, and what debugfs shows. */
#ifndef TAIO_DEV_H
#define TAIO_DEV_H

int dev_register(void);
void dev_deregister(void);

void debugfs_start(void);
void debugfs_stop(void);

#endif
