/* SPDX-License-Identifier: MIT */
/* The life of a connection's memory. Nothing here submits an operation or changes the state. */
#include "conn.h"

#include "base/network.h"
#include "server/census.h"
#include "server/probes.h"
#include "tls/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *conn_inline(struct conn *c)
{
	return (char *)c->session + c->endpoint->service->session_size;
}

void conn_shrink_input(struct conn *c)
{
	buf_release(&c->in, &c->shard->blocks);
	c->in = (struct buf){.data = conn_inline(c), .cap = c->inline_cap};
}

bool conn_is_proxied(const struct endpoint *endpoint, const union addr *peer)
{
	return endpoint->accept_proxy && networks_have(endpoint->accept_proxy, peer);
}

/* The state that a connection begins in. */
static enum conn_state first_state(const struct conn *c)
{
	if (c->is_outgoing)
		return CONN_CONNECT;
	if (conn_is_proxied(c->endpoint, &c->peer))
		return CONN_PROXY;
	return conn_is_tls(c) ? CONN_HANDSHAKE : CONN_SERVE;
}

int conn_create(struct conn **conn, struct shard *shard, struct conn_group *group, struct endpoint *endpoint,
		enum conn_origin origin, int fd, const union addr *peer)
{
	const struct service *service = endpoint->service;
	unsigned int inline_cap = endpoint->tls ? CONN_INLINE_TLS : CONN_INLINE;
	struct conn *c = malloc(sizeof(*c) + service->session_size + inline_cap);
	int ret;

	assert(service->session_size <= SERVICE_SESSION_MAX);
	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c) + service->session_size);
	c->magic = CONN_MAGIC;
	c->refs = 1;
	c->fd = fd;
	c->is_outgoing = origin == CONN_OUTGOING;
	c->shard = shard;
	c->endpoint = endpoint;
	c->group = group;
	c->peer = *peer;
	c->inline_cap = (uint16_t)inline_cap;
	c->session = (uint8_t *)c->tail;
	c->opened_us = c->moved_us = shard->now_us;
	c->id = ++shard->nids;
	c->rd.kind = OP_READ;
	c->wr.kind = OP_WRITE;
	outq_init(&c->out);
	STAILQ_INIT(&c->records);
	conn_shrink_input(c);
	ret = endpoint->tls ? conn_tls_open(&c->tls, endpoint->tls, c->is_outgoing ? endpoint->host : NULL)
			    : 0;
	if (ret)
		goto free_conn;
	c->afd = taio_attach(shard->ring, fd, TAIO_CLASS_STREAM);
	if (c->afd < 0) {
		ret = c->afd;
		goto fini_tls;
	}
	endpoint_get(endpoint);
	conn_group_get(group);
	c->tally = tally_get(endpoint->tally);
	shard->fixed += conn_fixed_memory(c);
	c->state = (uint8_t)first_state(c);
	if (service->open)
		service->open(c->session, endpoint->site, conn_peer(c));
	LIST_INSERT_HEAD(&shard->conns, c, link);
	shard->nconns++;
	if (!c->is_outgoing) {
		shard->naccepted++;
		group->naccepted++;
		count(&shard->counters, accepted);
		count(&shard->counters, active);
		tally_count(c->tally, accepted);
		tally_count(c->tally, active);
		probe4(conn_accept, c, fd, service->name, c->session);
	}
	*conn = c;
	return 0;
fini_tls:
	conn_tls_fini(&c->tls, &shard->blocks);
free_conn:
	free(c);
	return ret;
}

/* The only place where a connection is freed. */
static void conn_destroy(struct conn *c)
{
	struct endpoint *endpoint = c->endpoint;
	struct conn_group *group = c->group;
	struct shard *shard = c->shard;

	assert(op_is_idle(&c->rd) && op_is_idle(&c->wr) && c->deadline_class == DEADLINE_NONE);
	LIST_REMOVE(c, link);
	shard->nconns--;
	shard->fixed -= conn_fixed_memory(c);
	if (!c->is_outgoing) {
		shard->naccepted--;
		group->naccepted--;
		count_by(&shard->counters, active, -1);
		tally_add(c->tally, TALLY_active, -1);
	}
	probe5(conn_close, c, c->fd, close_reason_text((enum close_reason)c->reason),
	       shard->now_us - c->opened_us, c->is_outgoing);
	if (c->endpoint->service->close)
		c->endpoint->service->close(c->session);
	outq_clear(&c->out);
	conn_tls_fini(&c->tls, &shard->blocks);
	buf_release(&c->in, &shard->blocks);
	buf_release(&c->plain, &shard->blocks);
	taio_detach(shard->ring, c->afd);
	close(c->fd);
	free(c->local);
	census_leave(c->row);
	tally_put(c->tally);
	c->magic = 0;
	free(c);
	endpoint_put(endpoint);
	conn_group_put(group);
}

void conn_get(struct conn *c)
{
	c->refs++;
}

void conn_put(struct conn *c)
{
	assert(c->refs > 0);
	if (--c->refs == 0)
		conn_destroy(c);
}

static const struct {
	enum counter counter;
	enum tally_row row;
	const char *name, *text;
	bool by_cancel;
} reasons[] = {
#define REASON_ROW(NAME, name, text, by_cancel)                                                              \
	[CLOSE_##NAME] = {COUNT_closed_##name, TALLY_closed_##name, #name, text, by_cancel},
	CLOSE_REASONS(REASON_ROW)
#undef REASON_ROW
};

const char *close_reason_name(enum close_reason reason)
{
	return reasons[reason].name;
}

const char *close_reason_text(enum close_reason reason)
{
	return reasons[reason].text;
}

bool close_reason_is_cancel(enum close_reason reason)
{
	return reasons[reason].by_cancel;
}

void conn_set_reason(struct conn *c, enum close_reason reason)
{
	if (c->reason != CLOSE_NONE)
		return;
	c->reason = (uint8_t)reason;
	count_add(&c->shard->counters, reasons[reason].counter, 1);
	tally_add(c->tally, reasons[reason].row, 1);
}

void conn_refused(struct shard *shard, struct tally *tally, const union addr *peer, int err)
{
	char text[ADDR_TEXT_LEN], buf[LOG_MORE_LEN];
	const char *more = log_limited(&shard->address_limit, shard->now_us, buf);

	count(&shard->counters, refused_address);
	tally_count(tally, refused_address);
	if (more)
		log_warning("%s: refused: %s%s", addr_text(peer, text),
			    err == -EDQUOT ? "max-per-address is reached" : strerror(-err), more);
}

size_t conn_memory(const struct conn *c)
{
	size_t in = c->in.cap > c->inline_cap ? c->in.cap : 0;

	return in + c->plain.cap + c->tls.wire.cap + c->out.memory + c->records_size;
}

size_t conn_fixed_memory(const struct conn *c)
{
	return sizeof(*c) + c->endpoint->service->session_size + c->inline_cap;
}

/* What OpenSSL holds for it, about. */
static size_t session_memory(const struct conn *c)
{
	if (!conn_is_tls(c))
		return 0;
	if (!c->tls.is_established) /* a thread may be at it */
		return CONN_HANDSHAKE_MEMORY;
	return CONN_TLS_MEMORY + (tls_is_between_records(c->tls.session) ? 0 : BLOCK_SIZE);
}

size_t conn_memory_all(const struct shard *shard)
{
	return shard->fixed + shard->blocks.used + outq_used();
}

size_t conn_memory_kept(const struct shard *shard)
{
	return shard->blocks.kept + outq_kept();
}

static uint64_t total(const struct shard *shard)
{
	return memory_total(&shard->memory, conn_memory_all(shard) + conn_memory_kept(shard));
}

bool conn_memory_exceeds(struct shard *shard, struct tls_ctx *tls, unsigned int spare)
{
	uint64_t most = shard->max_memory;

	if (!most)
		return false;
	most -= spare ? most / spare : 0;
	if (total(shard) <= most)
		return false;
	blocks_trim(&shard->blocks);
	outq_trim();
	if (total(shard) <= most)
		return false;
	return !tls_ctx_forget(tls) || total(shard) > most;
}

void conn_memory_warn(struct shard *shard, const char *what)
{
	char buf[LOG_MORE_LEN];
	const char *more = log_limited(&shard->memory_limit, shard->now_us, buf);

	if (more)
		log_warning("no memory for %s: %llu of max-memory's %llu bytes are in use, %zu of them by "
			    "OpenSSL%s",
			    what, (unsigned long long)total(shard), (unsigned long long)shard->max_memory,
			    tls_memory(), more);
}

bool conn_is_oversized(struct conn *c)
{
	struct shard *shard = c->shard;

	if (conn_memory(c) > c->group->limits.conn_memory)
		return true;
	/* A client that is alone is served whatever the bound: see is_short_of_memory() in accept.c. */
	if (shard->naccepted <= 1 || !conn_memory_exceeds(shard, c->endpoint->tls, 0))
		return false;
	if (conn_memory(c) + conn_fixed_memory(c) + session_memory(c) <= shard->max_memory / memory_nconns())
		return false;
	conn_memory_warn(shard, "what a connection holds");
	return true;
}
