/* SPDX-License-Identifier: MIT */
/* The command line of a suite: for the runner alone. */
#ifndef TAIO_CASE_OPTIONS_H
#define TAIO_CASE_OPTIONS_H

#include "tests/case/runner.h"

bool options_parse(const struct suite *suite, int argc, char **argv);
/* On stderr. */
void options_usage(const struct suite *suite);
/* Prints the cases if --list was given. Returns whether it was. */
bool options_list(const struct suite *suite);

#endif
