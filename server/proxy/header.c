/* SPDX-License-Identifier: MIT */
#include "header.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Section 2.2: the signature, the version and the command, the family, the length of what follows. */
static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

struct v2_fixed {
	char signature[12];
	uint8_t command, family;
	uint16_t len;
};

/* An IPv4-mapped IPv6 address is written as the IPv4 address that it is. */
static void unmap(union addr *addr)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};

	if (addr->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->v6.sin6_addr))
		return;
	v4.sin_port = addr->v6.sin6_port;
	memcpy(&v4.sin_addr, &addr->v6.sin6_addr.s6_addr[12], 4);
	memset(addr, 0, sizeof(*addr));
	addr->v4 = v4;
}

static sa_family_t family_of(const struct proxy_header *header)
{
	sa_family_t family = header->source.sa.sa_family;

	if (header->destination.sa.sa_family != family || (family != AF_INET && family != AF_INET6))
		return AF_UNSPEC;
	return family;
}

static const void *bytes_of(const union addr *addr)
{
	return addr->sa.sa_family == AF_INET6 ? (const void *)&addr->v6.sin6_addr : &addr->v4.sin_addr;
}

static size_t write_v1(const struct proxy_header *header, sa_family_t family, char *text, size_t size)
{
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];

	if (family == AF_UNSPEC)
		return (size_t)snprintf(text, size, "PROXY UNKNOWN\r\n");
	inet_ntop(family, bytes_of(&header->source), source, sizeof(source));
	inet_ntop(family, bytes_of(&header->destination), destination, sizeof(destination));
	return (size_t)snprintf(text, size, "PROXY TCP%c %s %s %u %u\r\n", family == AF_INET ? '4' : '6',
				source, destination, addr_port(&header->source),
				addr_port(&header->destination));
}

static char *put(char *at, const void *data, size_t len)
{
	return (char *)memcpy(at, data, len) + len;
}

static size_t write_v2(const struct proxy_header *header, sa_family_t family, char *text)
{
	size_t each = family == AF_INET ? 4 : 16, len = family == AF_UNSPEC ? 0 : 2 * each + 4;
	struct v2_fixed fixed = {
		.command = family == AF_UNSPEC ? V2_LOCAL : V2_PROXY,
		.family = family == AF_UNSPEC ? V2_UNSPEC
			  : family == AF_INET ? V2_TCP4
					      : V2_TCP6,
		.len = htons((uint16_t)len),
	};
	uint16_t ports[] = {htons((uint16_t)addr_port(&header->source)),
			    htons((uint16_t)addr_port(&header->destination))};
	char *at = text;

	memcpy(fixed.signature, signature, sizeof(signature));
	at = put(at, &fixed, sizeof(fixed));
	if (!len)
		return (size_t)(at - text);
	at = put(at, bytes_of(&header->source), each);
	at = put(at, bytes_of(&header->destination), each);
	at = put(at, ports, sizeof(ports));
	return (size_t)(at - text);
}

size_t proxy_header_write(const struct proxy_header *header, bool is_v2, char *text, size_t size)
{
	struct proxy_header plain = *header;
	sa_family_t family;

	unmap(&plain.source);
	unmap(&plain.destination);
	family = family_of(&plain);
	return is_v2 ? write_v2(&plain, family, text) : write_v1(&plain, family, text, size);
}
