/* SPDX-License-Identifier: MIT */
#include "list.h"

#include "base/addr.h"
#include "base/clock.h"
#include "conn.h"
#include "fsm.h"

#include <stdio.h>
#include <stdlib.h>

/* In seconds from @now_us, or null. */
static void write_deadline(FILE *to, const struct conn *c, uint64_t now_us)
{
	if (c->deadline_class == DEADLINE_NONE)
		fputs("null", to);
	else
		fprintf(to, "%.3f", ((double)c->deadline_us - (double)now_us) / 1e6);
}

static void write_conn(FILE *to, const struct conn *c, uint64_t now_us)
{
	char peer[ADDR_TEXT_LEN];

	fprintf(to, "{\"fd\": %d, \"service\": \"%s\", \"peer\": \"%s\", \"outgoing\": %s, \"tls\": %s, ",
		c->fd, c->endpoint->service->name, addr_text(&c->peer, peer),
		c->is_outgoing ? "true" : "false", c->endpoint->tls ? "true" : "false");
	fprintf(to, "\"state\": \"%s\", \"age_s\": %.3f, \"deadline_s\": ",
		conn_state_name((enum conn_state)c->state), (double)(now_us - c->opened_us) / 1e6);
	write_deadline(to, c, now_us);
	fprintf(to, ", \"queued\": %llu, \"memory\": %zu}", (unsigned long long)c->out.nbytes,
		conn_memory(c) + conn_fixed_memory(c));
}

char *conn_list(const struct shard *shard, unsigned int worker, size_t *len)
{
	uint64_t now_us = clock_us();
	const struct conn *c;
	unsigned int n = 0;
	char *text = NULL;
	FILE *to = open_memstream(&text, len);

	if (!to)
		return NULL;
	fprintf(to, "{\"worker\": %u, \"open\": %u, \"connections\": [", worker, shard->nconns);
	LIST_FOREACH (c, &shard->conns, link) {
		if (n == CONN_LIST_MAX)
			break;
		fputs(n++ ? ",\n  " : "\n  ", to);
		write_conn(to, c, now_us);
	}
	fputs("]}", to);
	if (!fclose(to))
		return text;
	free(text);
	return NULL;
}
