/* SPDX-License-Identifier: MIT */
#include "place.h"

#include "base/addr.h"
#include "base/opt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PREFIX "unix:"

/* The path of a Unix socket, or NULL. */
static const char *unix_path(const char *text)
{
	size_t len = strlen(UNIX_PREFIX);

	return strncmp(text, UNIX_PREFIX, len) ? NULL : text + len;
}

static bool is_path(const char *path)
{
	return *path && strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

static bool is_address(const char *text)
{
	unsigned int port;
	char host[PLACE_HOST_LEN];

	if (unix_path(text))
		return is_path(unix_path(text));
	return !addr_split(text, host, sizeof(host), &port) && *host && port;
}

/* What follows a protocol is a backend by itself, which the port of an address is not. */
const char *place_split(const char *text, char *protocol)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;

	*protocol = '\0';
	if (!len || len >= PROTOCOL_LEN || unix_path(text) || *text == '[' || !is_address(colon + 1))
		return text;
	memcpy(protocol, text, len);
	protocol[len] = '\0';
	return colon + 1;
}

bool place_host(const char *text, char *host)
{
	char protocol[PROTOCOL_LEN];
	const char *address = place_split(text, protocol);
	unsigned int port;

	return !unix_path(address) && !addr_split(address, host, PLACE_HOST_LEN, &port);
}

int place_check(const char *text, char *why)
{
	char protocol[PROTOCOL_LEN];
	const char *address = place_split(text, protocol);

	if (is_address(address))
		return 0;
	snprintf(why, OPT_WHY_LEN,
		 unix_path(address) ? "'%.150s' has no path, or one longer than 107 bytes"
				    : "'%.150s' is not a backend: write 127.0.0.1:80, [::1]:80, NAME:80, "
				      "unix:PATH or h2:NAME:80",
		 text);
	return -EINVAL;
}

static void place_set(struct place *place, const char *name, const void *addr, socklen_t len)
{
	memset(place, 0, sizeof(*place));
	memcpy(&place->addr, addr, len);
	place->addr_len = len;
	snprintf(place->name, sizeof(place->name), "%s", name);
}

int place_resolve(const char *text, struct place *places, char *why)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	union addr addrs[PLACES_MAX];
	char name[ADDR_TEXT_LEN];
	int n;

	if (unix_path(text)) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", unix_path(text));
		place_set(places, text, &un, sizeof(un));
		return 1;
	}
	n = addr_resolve_all(text, false, addrs, PLACES_MAX, why);
	for (int i = 0; i < n; i++)
		place_set(&places[i], addr_text(&addrs[i], name), &addrs[i], addr_len(&addrs[i]));
	return n;
}

bool place_equal(const struct place *a, const struct place *b)
{
	return a->addr_len == b->addr_len && !memcmp(&a->addr, &b->addr, a->addr_len);
}

int place_protocol_at(const struct protocols *protocols, const char *name)
{
	for (unsigned int i = 0; i < protocols->n; i++)
		if (!strcmp(protocols->names[i], name))
			return (int)i;
	return -ENOENT;
}

bool place_alpn(const struct protocols *protocols, char *text)
{
	char *end = text;

	*text = '\0';
	for (unsigned int i = 0; i < protocols->n; i++)
		if (*protocols->names[i])
			end += sprintf(end, "%s%s", end == text ? "" : ",", protocols->names[i]);
	/* The backends without a protocol speak what everyone does. */
	if (*text && place_protocol_at(protocols, "") >= 0 && place_protocol_at(protocols, "http/1.1") < 0)
		strcpy(end, ",http/1.1");
	return *text;
}

int place_protocols(const struct opt_list *backends, struct protocols *protocols, char *why)
{
	char name[PROTOCOL_LEN];

	protocols->n = 0;
	for (size_t i = 0; i < backends->len; i++) {
		place_split(backends->items[i], name);
		if (place_protocol_at(protocols, name) >= 0)
			continue;
		if (protocols->n == PROTOCOLS_MAX) {
			snprintf(why, PLACE_WHY_LEN, "more than %d protocols among the backends",
				 PROTOCOLS_MAX);
			return -E2BIG;
		}
		memcpy(protocols->names[protocols->n++], name, sizeof(name));
	}
	if (!protocols->n)
		*protocols->names[protocols->n++] = '\0';
	return 0;
}
