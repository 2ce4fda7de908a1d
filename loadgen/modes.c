/* SPDX-License-Identifier: MIT */
#include "modes.h"

#include <string.h>

#define MODE_ENTRY(name) &mode_##name,
const struct mode *const modes[NMODES] = {MODES(MODE_ENTRY)};

const struct mode *mode_find(const char *name)
{
	for (size_t i = 0; i < NMODES; i++) {
		if (!strcmp(name, modes[i]->command.name))
			return modes[i];
	}
	return NULL;
}
