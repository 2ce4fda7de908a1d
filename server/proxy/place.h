/* SPDX-License-Identifier: MIT */
/*
 * A backend as users write it: [PROTOCOL:]HOST:PORT, [PROTOCOL:]unix:PATH. A name has a place for each of its
 * addresses.
 */
#ifndef PROXY_PLACE_H
#define PROXY_PLACE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct opt_list;

struct place {
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
		struct sockaddr_storage any;
	} addr;
	socklen_t addr_len;
	char name[128];
};

#define PLACES_MAX    64 /* of one backend, and of all among which one is chosen */
#define PLACE_WHY_LEN 256

/* With the NUL; a protocol is a name of ALPN, "" for clients that have negotiated none. */
#define PROTOCOL_LEN  32
#define PROTOCOLS_MAX 7

struct protocols {
	char names[PROTOCOLS_MAX][PROTOCOL_LEN]; /* each once, in the order in which they are first named */
	unsigned int n;
};

/* For the option table: the syntax of one backend. 0 or -EINVAL with why[OPT_WHY_LEN]. */
int place_check(const char *text, char *why);

/* Writes the protocol of a backend to protocol[PROTOCOL_LEN] and returns where its address begins. */
const char *place_split(const char *text, char *protocol);

/* The host of a backend to host[PLACE_HOST_LEN]. False: it has none, being a Unix socket. */
#define PLACE_HOST_LEN 256
bool place_host(const char *text, char *host);

/*
 * Looks up a backend without its protocol: up to PLACES_MAX places, and how many there are. May block on DNS.
 * On failure -errno and a line in why[PLACE_WHY_LEN].
 */
int place_resolve(const char *text, struct place *places, char *why);

bool place_equal(const struct place *a, const struct place *b);

/* The protocols of a list of backends, "" included: that alone of an empty one. -E2BIG with
 * why[PLACE_WHY_LEN]: more than PROTOCOLS_MAX. */
int place_protocols(const struct opt_list *backends, struct protocols *protocols, char *why);

/* Where @name is among them; -ENOENT: nowhere. */
int place_protocol_at(const struct protocols *protocols, const char *name);

/* Them as a list for ALPN, "h2,http/1.1", in text[PROTOCOLS_TEXT_LEN]. False: no backend has any. */
#define PROTOCOLS_TEXT_LEN ((PROTOCOLS_MAX + 1) * PROTOCOL_LEN)
bool place_alpn(const struct protocols *protocols, char *text);

#endif
