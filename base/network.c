/* SPDX-License-Identifier: MIT */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned int bits_of(sa_family_t family)
{
	return family == AF_INET6 ? 128 : family == AF_INET ? 32 : 0;
}

static const void *bytes_of(const union addr *addr)
{
	return addr->sa.sa_family == AF_INET6 ? (const void *)&addr->v6.sin6_addr : &addr->v4.sin_addr;
}

static int parse_address(const char *text, struct network *network)
{
	network->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(network->family, text, network->address) == 1 ? 0 : -EINVAL;
}

int network_parse(const char *text, struct network *network)
{
	const char *slash = strchrnul(text, '/');
	char address[INET6_ADDRSTRLEN];
	uint64_t bits;

	*network = (struct network){.family = AF_UNIX};
	if (!strcmp(text, "unix"))
		return 0;
	if (slash - text >= (ptrdiff_t)sizeof(address))
		return -EINVAL;
	*(char *)mempcpy(address, text, (size_t)(slash - text)) = '\0';
	if (parse_address(address, network))
		return -EINVAL;
	bits = bits_of(network->family);
	if (*slash && (opt_parse_uint(slash + 1, &bits) || bits > bits_of(network->family)))
		return -EINVAL;
	network->bits = (uint8_t)bits;
	return 0;
}

int network_check(const char *text, char *why)
{
	struct network network;

	if (!network_parse(text, &network))
		return 0;
	snprintf(why, OPT_WHY_LEN,
		 "'%.100s' is not a network: write 192.0.2.1, 10.0.0.0/8, 2001:db8::/32 or unix", text);
	return -EINVAL;
}

int networks_parse(struct networks *networks, const struct opt_list *texts)
{
	*networks = (struct networks){0};
	if (!texts->len)
		return 0;
	networks->all = calloc(texts->len, sizeof(*networks->all));
	if (!networks->all)
		return -ENOMEM;
	for (; networks->n < texts->len; networks->n++)
		network_parse(texts->items[networks->n], &networks->all[networks->n]);
	return 0;
}

void networks_free(struct networks *networks)
{
	free(networks->all);
	*networks = (struct networks){0};
}

static bool has(const struct network *network, const union addr *addr)
{
	const uint8_t *bytes = bytes_of(addr);
	unsigned int whole = network->bits / 8, rest = network->bits % 8;

	if (network->family != addr->sa.sa_family || memcmp(network->address, bytes, whole) != 0)
		return false;
	return !rest || !((network->address[whole] ^ bytes[whole]) >> (8 - rest));
}

bool networks_have(const struct networks *networks, const union addr *addr)
{
	union addr plain = *addr;

	addr_unmap(&plain);
	for (size_t i = 0; i < networks->n; i++)
		if (has(&networks->all[i], &plain))
			return true;
	return false;
}
