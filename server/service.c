/* SPDX-License-Identifier: MIT */
/* The table of services, in the order in which help lists them. Read-only, any thread. */
#include "service.h"

#include <string.h>

const struct service *const services[] = {
	&service_echo,
	&service_discard,
	&service_http,
	NULL,
};

const struct service *service_find(const char *name)
{
	for (const struct service *const *s = services; *s; s++)
		if (strcmp((*s)->name, name) == 0)
			return *s;
	return NULL;
}
