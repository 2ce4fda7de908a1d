/* SPDX-License-Identifier: MIT */
/* What a connection by way of a proxy begins with: the header of the PROXY protocol. */
#ifndef CONN_VIA_H
#define CONN_VIA_H

#include "conn.h"

/*
 * Looks for the header in what has arrived, and takes it off: what is behind it stays. The addresses that it
 * gives are those of @c from then on.
 *
 *	STEP_DONE	it is taken
 *	STEP_MORE	it is not complete
 *	STEP_FAILED	it is none, and *why says what is wrong; NULL: no memory
 */
enum step via_read(struct conn *c, const char **why);

/* @c ends for want of one, for the reason @why: counts and logs that. */
void via_refused(struct conn *c, const char *why);

/* It is taken: counts @c for the address that it has given, if it has. As census_enter(). */
int via_enter(struct conn *c);

#endif
