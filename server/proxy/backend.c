/* SPDX-License-Identifier: MIT */
#include "backend.h"

#include "base/addr.h"
#include "tls/tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PREFIX "unix:"
#define WHY_LEN	    256

/* The path of a Unix socket, or NULL. */
static const char *unix_path(const char *text)
{
	size_t len = strlen(UNIX_PREFIX);

	return strncmp(text, UNIX_PREFIX, len) ? NULL : text + len;
}

int backend_check(const char *text, char *why)
{
	const char *path = unix_path(text);
	unsigned int port;
	char host[256];

	if (path && *path && strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return 0;
	if (!path && !addr_split(text, host, sizeof(host), &port) && *host && port)
		return 0;
	snprintf(why, OPT_WHY_LEN,
		 path ? "'%.150s' has no path, or one longer than 107 bytes"
		      : "'%.150s' is not a backend: write 127.0.0.1:8080, [::1]:8080, NAME:8080 or unix:PATH",
		 text);
	return -EINVAL;
}

static int add(struct backends *backends, const char *name, const void *addr, socklen_t len, char *why)
{
	struct backend *b;

	if (backends->n == BACKENDS_MAX) {
		snprintf(why, WHY_LEN, "more than %d backends, counting each address of a name",
			 BACKENDS_MAX);
		return -E2BIG;
	}
	b = &backends->all[backends->n++];
	memset(b, 0, sizeof(*b));
	memcpy(&b->addr, addr, len);
	b->addr_len = len;
	snprintf(b->name, sizeof(b->name), "%s", name);
	return 0;
}

static int add_unix(struct backends *backends, const char *text, char *why)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", unix_path(text));
	return add(backends, text, &un, sizeof(un), why);
}

static int add_inet(struct backends *backends, const char *text, char *why)
{
	union addr addrs[BACKENDS_MAX];
	char name[ADDR_TEXT_LEN];
	int n = addr_resolve_all(text, false, addrs, BACKENDS_MAX, why), ret = n < 0 ? n : 0;

	for (int i = 0; i < n && !ret; i++)
		ret = add(backends, addr_text(&addrs[i], name), &addrs[i], addr_len(&addrs[i]), why);
	return ret;
}

int backends_resolve(struct backends *backends, const struct opt_list *to, char *why)
{
	int ret = 0;

	backends->n = 0;
	for (size_t i = 0; i < to->len && !ret; i++)
		ret = unix_path(to->items[i]) ? add_unix(backends, to->items[i], why)
					      : add_inet(backends, to->items[i], why);
	return ret;
}

void backend_keep_ticket(struct backend *backend, struct tls_ticket *ticket)
{
	tls_ticket_free(backend->ticket);
	backend->ticket = ticket;
}

void backends_drop_tickets(struct backends *backends)
{
	for (unsigned int i = 0; i < backends->n; i++)
		backend_keep_ticket(&backends->all[i], NULL);
}

/* Is @b to be preferred to @best, which comes before it in the round? */
static bool is_better(const struct backends *backends, const struct backend *b, const struct backend *best,
		      uint64_t now_us)
{
	bool rests = b->rests_until_us > now_us, best_rests = best && best->rests_until_us > now_us;

	if (!best || rests != best_rests)
		return !best || best_rests;
	if (rests) /* the one that has rested longest */
		return b->rests_until_us < best->rests_until_us;
	return backends->balance == BALANCE_LEAST_CONN && b->active < best->active;
}

struct backend *backends_pick(struct backends *backends, uint64_t *tried, uint64_t now_us)
{
	struct backend *best = NULL;
	unsigned int at;

	for (unsigned int i = 0; i < backends->n; i++) {
		unsigned int k = (backends->next + i) % backends->n;

		if (!(*tried & (uint64_t)1 << k) && is_better(backends, &backends->all[k], best, now_us))
			best = &backends->all[k];
	}
	if (!best)
		return NULL;
	at = (unsigned int)(best - backends->all);
	*tried |= (uint64_t)1 << at;
	backends->next = (at + 1) % backends->n;
	best->active++;
	return best;
}
