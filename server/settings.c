/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include "service.h"
#include "services.h"

#include <stdlib.h>

static size_t aligned(size_t size)
{
	return (size + 15) & ~(size_t)15;
}

size_t settings_offset(unsigned int i)
{
	size_t offset = aligned(sizeof(struct settings));

	for (unsigned int k = 0; k < i; k++)
		offset += aligned(services[k]->options_size);
	return offset;
}

struct settings *settings_create(void)
{
	unsigned int n = 0;

	while (services[n])
		n++;
	return calloc(1, settings_offset(n));
}

const void *settings_of(const struct settings *settings, const struct service *service)
{
	for (unsigned int i = 0; services[i]; i++)
		if (services[i] == service)
			return service->options ? (const char *)settings + settings_offset(i) : NULL;
	return NULL;
}
