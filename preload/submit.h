/* SPDX-License-Identifier: MIT */
/* io_submit(2) as the program calls it, on proxies. */
#ifndef PRELOAD_SUBMIT_H
#define PRELOAD_SUBMIT_H

#include <linux/aio_abi.h>

/* As syscall(SYS_io_submit, ...): -1 with errno. */
long submit(aio_context_t ctx, long niocbs, struct iocb **iocbs);

#endif
