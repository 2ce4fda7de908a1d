/* SPDX-License-Identifier: MIT */
/* Endless numbered streams of bytes, in which a byte that is lost, doubled or moved shows at once. */
#ifndef TAIO_CASE_PATTERN_H
#define TAIO_CASE_PATTERN_H

#include "tests/case/check.h"

#include <stdint.h>

/* From byte @offset of stream @seed. */
void pattern_fill(void *buf, size_t nbytes, uint64_t offset, uint64_t seed);
void pattern_check_(const void *buf, size_t nbytes, uint64_t offset, uint64_t seed);

#define pattern_check(buf, nbytes, offset, seed) (HERE(), pattern_check_(buf, nbytes, offset, seed))

#endif
