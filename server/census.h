/* SPDX-License-Identifier: MIT */
/*
 * How many connections each network has, over all workers: one table for the process, which any thread may
 * use. Networks are as large as the settings say when a connection comes.
 */
#ifndef CENSUS_H
#define CENSUS_H

#include "base/addr.h"

struct census_row;

struct census_limit {
	unsigned int max;	       /* connections of one network; 0: any number */
	unsigned int bits_v4, bits_v6; /* of an address, that make it */
};

/*
 * Counts one more from the network of @addr: 0, and the caller has *row until census_leave(); it is NULL
 * where nothing is counted: without a limit, and for Unix sockets. -EDQUOT: there are as many as may be;
 * -ENOMEM.
 */
int census_enter(struct census_row **row, const union addr *addr, const struct census_limit *limit);
/* NULL is allowed. */
void census_leave(struct census_row *row);

/* "32/64", the bits of an IPv4 and of an IPv6 address: 0, or -EINVAL with why[OPT_WHY_LEN]. */
int census_check_prefix(const char *text, char *why);
/* Of one that was checked. */
void census_set_prefix(struct census_limit *limit, const char *text);

#endif
