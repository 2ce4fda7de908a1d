/* SPDX-License-Identifier: MIT */
/* Networks as users write them: an address, ADDRESS/BITS, or unix for all that comes by Unix sockets. */
#ifndef NETWORK_H
#define NETWORK_H

#include "addr.h"
#include "opt.h"

#include <stdint.h>

struct network {
	sa_family_t family;
	uint8_t bits; /* of address that count */
	uint8_t address[16];
};

struct networks {
	struct network *all;
	size_t n;
};

/* -EINVAL. Bits behind the prefix are ignored. */
int network_parse(const char *text, struct network *network);

/* The same for an option table: 0, or -EINVAL with why[OPT_WHY_LEN]. */
int network_check(const char *text, char *why);

/* What network_check() has accepted. 0 or -ENOMEM. */
int networks_parse(struct networks *networks, const struct opt_list *texts);
void networks_free(struct networks *networks);

/* Whether @addr is in one of them. An IPv4-mapped address is the IPv4 address that it is. */
bool networks_have(const struct networks *networks, const union addr *addr);

#endif
