/* SPDX-License-Identifier: MIT */
#include "opt_include.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool opt_is_pattern(const char *name)
{
	return strpbrk(name, "*?[");
}

/* With its slash. */
static void write_directory(FILE *to, const char *file, bool escape)
{
	const char *slash = strrchr(file, '/');

	for (const char *p = file; slash && p <= slash; p++) {
		if (escape && strchr("*?[\\", *p))
			fputc('\\', to);
		fputc(*p, to);
	}
}

char *opt_include_path(const char *file, const char *name)
{
	char *path = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&path, &len);

	if (!to)
		return NULL;
	if (*name != '/')
		write_directory(to, file, opt_is_pattern(name));
	fputs(name, to);
	if (!fclose(to))
		return path;
	free(path);
	return NULL;
}
