/* SPDX-License-Identifier: MIT */
/* taio engines: tries every engine of libtaio here and prints what it finds. */
#include "client.h"

#include <string.h>

#define HEADING "ENGINE"

static int name_width(void)
{
	struct taio_probe probe;
	size_t width = strlen(HEADING);

	for (unsigned int i = 0; taio_probe(i, &probe); i++) {
		if (strlen(probe.name) > width)
			width = strlen(probe.name);
	}
	return (int)width;
}

static void print_engine(const struct taio_probe *probe, int width)
{
	printf("%-*s  %-5s  %s\n", width, probe->name, probe->works ? "yes" : "no", probe->summary);
	if (!probe->works)
		printf("%-*s  %-5s  not here: %s\n", width, "", "", probe->why);
}

static void print_auto(void)
{
	struct taio_params params = {.engine = "auto"};
	char why[TAIO_WHY_LEN];
	struct taio *ring = NULL;

	if (taio_open(&ring, &params, why))
		printf("\nauto takes none: %s\n", why);
	else
		printf("\nauto takes %s\n", why);
	taio_close(ring);
}

static void print_slots(void)
{
	struct taio_slots slots;
	char text[160];

	if (taio_slots(&slots, true))
		return;
	taio_slots_text(&slots, text, sizeof(text));
	printf("Engines poll and kmod take slots of io_setup(2), two for a connection: %s, %ld are free\n",
	       text, slots.taken < slots.max ? slots.max - slots.taken : 0);
}

int engines_run(const struct settings *settings, const char *operand)
{
	int width = name_width();
	struct taio_probe probe;

	if (!settings->names)
		printf("%-*s  WORKS  HOW A READ WAITS\n", width, HEADING);
	for (unsigned int i = 0; taio_probe(i, &probe); i++) {
		if (settings->working && !probe.works)
			continue;
		if (settings->names)
			printf("%s\n", probe.name);
		else
			print_engine(&probe, width);
	}
	if (!settings->names) {
		print_auto();
		print_slots();
	}
	return 0;
}
