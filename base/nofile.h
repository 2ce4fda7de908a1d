/* SPDX-License-Identifier: MIT */
/* The limit on open file descriptors (RLIMIT_NOFILE). Any thread. */
#ifndef NOFILE_H
#define NOFILE_H

#include <stdint.h>

/*
 * Raises the soft limit to the hard limit. Returns the soft limit now in effect (unchanged if it could not
 * be raised); UINT64_MAX means unlimited. Idempotent, so it also serves to query the limit.
 */
uint64_t nofile_raise(void);

#endif
