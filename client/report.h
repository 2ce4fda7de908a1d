/* SPDX-License-Identifier: MIT */
/*
 * What taio stats and taio top show of one sample, and of another before it: text in lines of up to 80
 * columns, but for long addresses and those of backends, or JSON. What a server has sent is shown with every
 * byte that is no printable ASCII as '?'.
 */
#ifndef CLIENT_REPORT_H
#define CLIENT_REPORT_H

#include "sample.h"

#include <stdio.h>

struct report {
	const char *where;
	const struct sample *now;
	const struct sample *before; /* rates are since then; NULL: there are none */
	bool is_recent;		     /* so are latencies, rather than since the start of taiod */
};

/* The lines above the connections, of which there are REPORT_HEAD_LINES. */
#define REPORT_HEAD_LINES 12
void report_head(FILE *to, const struct report *report);
/* The titles of the connections' columns, in which @sort is marked, and one of them. A line each. */
void report_titles(FILE *to, enum sort sort);
void report_conn(FILE *to, const struct conn_row *row);

/* Writes one object with up to @rows connections. 0, or -ENOMEM. */
int report_json(FILE *to, const struct report *report, size_t rows);

/* Copies @text to to[size] as it is shown; returns to. */
char *report_printable(char *to, size_t size, const char *text);

#endif
