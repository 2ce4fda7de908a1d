/* SPDX-License-Identifier: MIT */
/* Dates of HTTP (RFC 9110, section 5.6.7). */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
#define HTTP_DATE_LEN 29

/* Writes HTTP_DATE_LEN bytes, without a NUL. Years outside 1 to 9999 are clamped. */
void http_date_format(time_t time, char *to);

/*
 * Parses IMF-fixdate, the RFC 850 form and the asctime form; returns false for anything else. A two-digit
 * year that would be more than 50 years after @now is taken as past.
 */
bool http_date_parse(const char *text, size_t len, time_t now, time_t *time);

#endif
