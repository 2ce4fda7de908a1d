/* SPDX-License-Identifier: MIT */
/*
 * The file of sni-map=: a line for each name, NAME BACKEND..., and # begins a comment. *.NAME is any name
 * below NAME.
 */
#ifndef PROXY_SNI_MAP_H
#define PROXY_SNI_MAP_H

#include <stddef.h>

/* One backend of a name; a name with several has as many entries, side by side in the order of the line. */
struct sni_entry {
	const char *name; /* in lower case; of *.NAME only .NAME */
	const char *backend;
	unsigned int line;
};

struct sni_map {
	struct sni_entry *entries; /* in the order of their names */
	size_t len;
	char *text; /* what they point into */
};

#define SNI_MAP_WHY_LEN 256

/* Main thread. On failure -errno and a line in why[SNI_MAP_WHY_LEN], with file and line, and nothing is held.
 */
int sni_map_read(struct sni_map *map, const char *file, char *why);
void sni_map_free(struct sni_map *map);

#endif
