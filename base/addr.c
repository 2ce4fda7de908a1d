/* SPDX-License-Identifier: MIT */
/*
 * Addresses between text and sockaddr. Pure functions, except that addr_resolve() may query DNS and block:
 * call it at start-up or in a tool, never in an event loop.
 */
#include "addr.h"

#include "opt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static int parse_port(const char *text, unsigned int *port)
{
	uint64_t value;

	if (opt_parse_uint(text, &value) < 0 || value > UINT16_MAX)
		return -EINVAL;
	*port = (unsigned int)value;
	return 0;
}

int addr_split(const char *text, char *host, size_t hostlen, unsigned int *port)
{
	const char *start = text, *colon, *end;
	size_t len;
	int err;

	if (*text == '[') {
		start = text + 1;
		end = strchr(start, ']');
		if (!end || end == start || end[1] != ':')
			return -EINVAL;
		colon = end + 1;
	} else {
		/* The first colon: a bare IPv6 address leaves one in the port, which is then invalid. */
		colon = end = strchr(text, ':');
		if (!colon)
			return -EINVAL;
	}
	len = (size_t)(end - start);
	if (len >= hostlen || strcspn(start, " \t\r\n/") < len)
		return -EINVAL;
	err = parse_port(colon + 1, port);
	if (err)
		return err;
	memcpy(host, start, len);
	host[len] = '\0';
	return 0;
}

/* The nearest errno of a getaddrinfo(3) result. */
static int gai_errno(int gai)
{
	switch (gai) {
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_AGAIN:
		return -EAGAIN;
	default:
		return -ENOENT;
	}
}

static size_t copy_results(const struct addrinfo *list, union addr *addrs, size_t max)
{
	size_t n = 0;

	for (; list && n < max; list = list->ai_next) {
		if (list->ai_addrlen > sizeof(addrs[n]))
			continue;
		memset(&addrs[n], 0, sizeof(addrs[n]));
		memcpy(&addrs[n++], list->ai_addr, list->ai_addrlen);
	}
	return n;
}

int addr_resolve_all(const char *text, bool passive, union addr *addrs, size_t max, char *why)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0),
	};
	struct addrinfo *list = NULL;
	char host[NI_MAXHOST], service[16];
	unsigned int port;
	size_t n;
	int gai, err;

	err = addr_split(text, host, sizeof(host), &port);
	if (err) {
		snprintf(why, ADDR_WHY_LEN, "'%.100s' is not an address: use HOST:PORT, [IPV6]:PORT or :PORT",
			 text);
		return err;
	}
	snprintf(service, sizeof(service), "%u", port);
	errno = 0;
	gai = getaddrinfo(*host ? host : NULL, service, &hints, &list);
	if (gai) {
		err = gai_errno(gai);
		snprintf(why, ADDR_WHY_LEN, "cannot resolve '%.100s': %s", host,
			 gai == EAI_SYSTEM ? strerror(-err) : gai_strerror(gai));
		return err;
	}
	n = copy_results(list, addrs, max);
	freeaddrinfo(list);
	if (!n) {
		snprintf(why, ADDR_WHY_LEN, "'%.100s' has neither an IPv4 nor an IPv6 address", host);
		return -EAFNOSUPPORT;
	}
	return (int)n;
}

int addr_resolve(const char *text, bool passive, union addr *addr, char *why)
{
	int n = addr_resolve_all(text, passive, addr, 1, why);

	return n < 0 ? n : 0;
}

socklen_t addr_len(const union addr *addr)
{
	return addr->sa.sa_family == AF_INET6 ? sizeof(addr->v6) : sizeof(addr->v4);
}

unsigned int addr_port(const union addr *addr)
{
	return ntohs(addr->sa.sa_family == AF_INET6 ? addr->v6.sin6_port : addr->v4.sin_port);
}

bool addr_equal(const union addr *a, const union addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family || addr_port(a) != addr_port(b))
		return false;
	if (a->sa.sa_family == AF_INET6)
		return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr) &&
		       a->v6.sin6_scope_id == b->v6.sin6_scope_id;
	return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

void addr_unmap(union addr *addr)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};

	if (addr->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->v6.sin6_addr))
		return;
	v4.sin_port = addr->v6.sin6_port;
	memcpy(&v4.sin_addr, &addr->v6.sin6_addr.s6_addr[12], 4);
	memset(addr, 0, sizeof(*addr));
	addr->v4 = v4;
}

char *addr_text(const union addr *addr, char *text)
{
	char host[INET6_ADDRSTRLEN];

	if (addr->sa.sa_family == AF_UNIX) {
		snprintf(text, ADDR_TEXT_LEN, "unix");
	} else if (addr->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &addr->v6.sin6_addr, host, sizeof(host));
		snprintf(text, ADDR_TEXT_LEN, "[%s]:%u", host, addr_port(addr));
	} else {
		inet_ntop(AF_INET, &addr->v4.sin_addr, host, sizeof(host));
		snprintf(text, ADDR_TEXT_LEN, "%s:%u", host, addr_port(addr));
	}
	return text;
}
