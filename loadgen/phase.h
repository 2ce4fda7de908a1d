/* SPDX-License-Identifier: MIT */
/* The phases of a run. */
#ifndef PHASE_H
#define PHASE_H

#include <stdint.h>

struct run;

/* Goes on to the next phase, as long as the present one is over. */
void phase_step(struct run *run);

/* When the present phase is over at the latest. */
uint64_t phase_end_ns(const struct run *run);

#endif
