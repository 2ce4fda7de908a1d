/* SPDX-License-Identifier: MIT */
/* The command line, --help and the manual of taio-load. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/opt.h"

/* The program's options over struct settings. Lives as long as the program. */
const struct opt_program *options_program(void);

#endif
