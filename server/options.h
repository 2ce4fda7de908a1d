/* SPDX-License-Identifier: MIT */
/* The table of options of the whole program, made of taiod's own rows and those of the services. Main thread.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/opt.h"
#include "settings.h"

struct service;

extern struct opt_program taiod_program;

/* The program's rows and those of all services in one table; once, before anything else. */
void options_init(void);

/* All options, those of the services behind struct settings. NULL: no memory. Freed by free(). */
struct settings *settings_create(void);

/* The options of @service (service.h), NULL if it has none. */
const void *settings_of(const struct settings *settings, const struct service *service);

#endif
