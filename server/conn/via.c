/* SPDX-License-Identifier: MIT */
#include "via.h"

#include "base/proxy_header.h"
#include "server/census.h"
#include "server/log.h"

#include <stdlib.h>

/* A header that gives none (LOCAL, UNKNOWN) leaves those of the connection itself. */
static bool take_addresses(struct conn *c, const struct proxy_header *header)
{
	if (header->source.sa.sa_family == AF_UNSPEC)
		return true;
	c->local = malloc(sizeof(*c->local));
	if (!c->local)
		return false;
	*c->local = header->destination;
	c->peer = header->source;
	return true;
}

enum step via_read(struct conn *c, const char **why)
{
	struct proxy_header header;
	size_t used;
	enum step step = proxy_header_read(&header, c->in.data, c->in.len, &used, why);

	if (step != STEP_DONE)
		return step;
	if (!take_addresses(c, &header))
		return STEP_FAILED;
	count(&c->shard->counters, proxy_headers);
	buf_consume(&c->in, used);
	return STEP_DONE;
}

void via_refused(struct conn *c, const char *why)
{
	char peer[ADDR_TEXT_LEN], buf[LOG_MORE_LEN];
	const char *more = log_limited(&c->shard->proxy_limit, c->shard->now_us, buf);

	count(&c->shard->counters, proxy_bad);
	if (more)
		log_warning("%s: no PROXY protocol header, which accept-proxy requires from there: %s%s",
			    addr_text(&c->peer, peer), why, more);
}

int via_enter(struct conn *c)
{
	return c->local ? census_enter(&c->row, &c->peer, &c->shard->census) : 0;
}
