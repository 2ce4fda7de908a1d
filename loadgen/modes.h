/* SPDX-License-Identifier: MIT */
/* The list of modes. */
#ifndef MODES_H
#define MODES_H

#include "mode.h"

#define MODE_COUNT(name) +1
enum { NMODES = 0 MODES(MODE_COUNT) };
#undef MODE_COUNT

/* In the order of MODES. */
extern const struct mode *const modes[NMODES];

/* NULL: there is no mode of that name. */
const struct mode *mode_find(const char *name);

#endif
