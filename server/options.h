/* SPDX-License-Identifier: MIT */
/* The program's table of options: taiod's own rows and those of the services. Main thread. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/opt.h"
#include "settings.h"

extern struct opt_program taiod_program;

/* Builds the table. Called once, before anything else. */
void options_init(void);

#endif
