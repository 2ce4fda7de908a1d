/* SPDX-License-Identifier: MIT */
/* Owns nothing: how a table grows. Called on the thread of the ring, or under the lock, that the table
 * belongs to. */
#include "fd_table.h"

#include <stdlib.h>
#include <string.h>

void *fd_table_grow(void *rows, unsigned int *nr, size_t row_size, int fd)
{
	unsigned int want = (unsigned int)fd + 1;
	char *grown;

	if (want <= *nr)
		return rows;
	/* By a quarter only: idle connections should not pay for many descriptors that do not exist. */
	if (want < *nr + *nr / 4)
		want = *nr + *nr / 4;
	want = (want + 63) & ~63u;
	grown = reallocarray(rows, want, row_size);
	if (!grown)
		return NULL;
	memset(grown + *nr * row_size, 0, (want - *nr) * row_size);
	*nr = want;
	return grown;
}
