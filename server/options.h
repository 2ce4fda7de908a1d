/* SPDX-License-Identifier: MIT */
/* The program's table of options: taiod's own rows and those of the services. Main thread. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/opt.h"
#include "settings.h"

struct service;

extern struct opt_program taiod_program;

/* Builds the table. Called once, before anything else. */
void options_init(void);

/*
 * Allocates room for all options: struct settings, then the services' options. NULL: no memory. Freed by
 * free().
 */
struct settings *settings_create(void);

/* The options of @service (service.h), NULL if it has none. */
const void *settings_of(const struct settings *settings, const struct service *service);

#endif
