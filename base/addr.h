/* SPDX-License-Identifier: MIT */
/* Addresses as users write them: HOST:PORT, [V6]:PORT, :PORT (any address). */
#ifndef ADDR_H
#define ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Fits IPv4 and IPv6; a quarter of a sockaddr_storage. */
union addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

#define ADDR_TEXT_LEN 64
#define ADDR_WHY_LEN  256

/*
 * Splits "HOST:PORT": the host without brackets goes to host[hostlen] ("" for :PORT), the port (a number,
 * 0..65535) to *port. -EINVAL if there is no port, a part is malformed or an IPv6 address has no brackets.
 */
int addr_split(const char *text, char *host, size_t hostlen, unsigned int *port);

/*
 * Resolves by getaddrinfo(3), first result; @passive for listeners (:PORT means any address; otherwise
 * loopback). May block on DNS. On failure -errno and one line in why[ADDR_WHY_LEN].
 */
int addr_resolve(const char *text, bool passive, union addr *addr, char *why);

/* The same, up to @max results in the order to try them; returns how many (at least one). */
int addr_resolve_all(const char *text, bool passive, union addr *addrs, size_t max, char *why);

socklen_t addr_len(const union addr *addr);
unsigned int addr_port(const union addr *addr);
bool addr_equal(const union addr *a, const union addr *b);

/* Makes an IPv4-mapped IPv6 address the IPv4 address that it is. */
void addr_unmap(union addr *addr);

/* "127.0.0.1:80", "[::1]:80", "unix" into text[ADDR_TEXT_LEN]; returns text. */
char *addr_text(const union addr *addr, char *text);

#endif
