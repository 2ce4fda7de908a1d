/* SPDX-License-Identifier: GPL-2.0 */
/* The device. main.c registers it last and deregisters it first. */
#ifndef TAIO_DEV_H
#define TAIO_DEV_H

int dev_register(void);
void dev_deregister(void);

#endif
