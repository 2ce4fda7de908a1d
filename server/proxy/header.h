/* SPDX-License-Identifier: MIT */
/* The header of the PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt). Pure functions. */
#ifndef PROXY_HEADER_H
#define PROXY_HEADER_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

/* Who has connected to whom. Unless both are IPv4 or both IPv6, it is written as unknown (UNKNOWN, LOCAL). */
struct proxy_header {
	union addr source, destination;
};

/* Writes it to text[size], which holds PROXY_HEADER_MAX or more; returns its length. */
#define PROXY_HEADER_MAX 108
size_t proxy_header_write(const struct proxy_header *header, bool is_v2, char *text, size_t size);

#endif
