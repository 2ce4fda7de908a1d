/* SPDX-License-Identifier: MIT */
/*
 * The backends of a listener, as one worker knows them: where they are, which one is next, which ones rest
 * because they could not be reached.
 */
#ifndef PROXY_BACKEND_H
#define PROXY_BACKEND_H

#include "base/opt.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct tls_ticket;

enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONN };

#define BACKENDS_MAX 64

struct backend {
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
		struct sockaddr_storage any;
	} addr;
	socklen_t addr_len;
	char name[128];
	unsigned int active;	   /* connections to it, those being made included */
	struct tls_ticket *ticket; /* of the newest session with it; NULL: none */
	uint64_t rests_until_us;   /* clock_us() time until which it is passed over */
};

struct backends {
	struct backend all[BACKENDS_MAX];
	unsigned int n;
	unsigned int next; /* round robin: the first to look at */
	enum balance balance;
};

/* For the option table: the syntax of one backend. 0 or -EINVAL with why[OPT_WHY_LEN]. */
int backend_check(const char *text, char *why);

/*
 * Looks up @to, names included: each address of a name is a backend. On failure -errno and a line in
 * why[256]. May block on DNS.
 */
int backends_resolve(struct backends *backends, const struct opt_list *to, char *why);

/* Keeps @ticket, which may be NULL, for the next connections. The backend owns it then. */
void backend_keep_ticket(struct backend *backend, struct tls_ticket *ticket);
void backends_drop_tickets(struct backends *backends);

/*
 * The backend for the next connection, not among those whose bits are set in @tried; one that rests only if
 * no other is left. NULL: all have been tried. Counts it as active.
 */
struct backend *backends_pick(struct backends *backends, uint64_t *tried, uint64_t now_us);

#endif
