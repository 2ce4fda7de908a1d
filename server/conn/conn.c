/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection's memory, and the way of its bytes from the network through TLS to the service.
 * Worker's thread only. Nothing here submits an operation or changes the state word.
 */
#include "conn.h"

#include "server/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IOBUFS_KEPT 64

/* --- borrowed blocks --- */

void *iobuf_get(struct shard *shard)
{
	struct iobuf *buf = shard->iobufs.free;

	if (!buf)
		return malloc(IOBUF_SIZE);
	shard->iobufs.free = buf->next;
	shard->iobufs.nfree--;
	return buf;
}

void iobuf_put(struct shard *shard, void *block)
{
	struct iobuf *buf = block;

	if (shard->iobufs.nfree >= IOBUFS_KEPT) {
		free(block);
		return;
	}
	buf->next = shard->iobufs.free;
	shard->iobufs.free = buf;
	shard->iobufs.nfree++;
}

void iobufs_fini(struct shard *shard)
{
	struct iobuf *buf;

	while ((buf = shard->iobufs.free)) {
		shard->iobufs.free = buf->next;
		free(buf);
	}
	shard->iobufs.nfree = 0;
}

/* --- spans: inline, an iobuf, or a block of CONN_INPUT_MAX --- */

static char *conn_inline(struct conn *c)
{
	return (char *)c->session + c->endpoint->service->session_size;
}

static void block_put(struct conn *c, char *data, uint32_t cap)
{
	if (cap == IOBUF_SIZE)
		iobuf_put(c->shard, data);
	else if (cap > IOBUF_SIZE)
		free(data);
}

static void span_reset(struct conn *c, struct span *span)
{
	block_put(c, span->data, span->cap);
	*span = (struct span){0};
}

static void in_to_inline(struct conn *c)
{
	block_put(c, c->in.data, c->in.cap);
	c->in = (struct span){.data = conn_inline(c), .cap = c->inline_cap};
}

/* The next larger block, with the bytes moved over. */
static bool span_grow(struct conn *c, struct span *span)
{
	uint32_t cap = span->cap < IOBUF_SIZE ? IOBUF_SIZE : CONN_INPUT_MAX;
	char *data;

	if (span->cap >= CONN_INPUT_MAX)
		return false;
	data = cap == IOBUF_SIZE ? iobuf_get(c->shard) : malloc(cap);
	if (!data)
		return false;
	if (span->len)
		memcpy(data, span->data, span->len);
	block_put(c, span->data, span->cap);
	span->data = data;
	span->cap = cap;
	return true;
}

static void span_consume(struct span *span, size_t n)
{
	span->len -= (uint32_t)n;
	if (n && span->len)
		memmove(span->data, span->data + n, span->len);
}

static bool span_append(struct conn *c, struct span *span, const void *data, size_t n)
{
	while (span->cap - span->len < n)
		if (!span_grow(c, span))
			return false;
	memcpy(span->data + span->len, data, n);
	span->len += (uint32_t)n;
	return true;
}

bool conn_read_room(struct conn *c, char **data, size_t *len)
{
	if (!c->in.len && !c->read_full && c->in.cap > c->inline_cap)
		in_to_inline(c);
	if ((c->in.len == c->in.cap || (c->read_full && c->in.cap < IOBUF_SIZE)) && !span_grow(c, &c->in))
		return false;
	*data = c->in.data + c->in.len;
	*len = c->in.cap - c->in.len;
	return true;
}

void conn_received(struct conn *c, size_t n)
{
	c->read_full = n == c->in.cap - c->in.len;
	c->in.len += (uint32_t)n;
}

/* --- creation, references --- */

static void ops_init(struct conn *c)
{
	c->rd.kind = OP_READ;
	c->wr.kind = OP_WRITE;
}

int conn_create(struct conn **conn, struct shard *shard, const struct endpoint *endpoint, int fd,
		const union addr *peer)
{
	const struct service *service = endpoint->service;
	unsigned int inline_cap = endpoint->tls ? CONN_INLINE_TLS : CONN_INLINE;
	struct conn *c = malloc(sizeof(*c) + service->session_size + inline_cap);
	int ret = -ENOMEM;

	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c) + service->session_size);
	c->magic = CONN_MAGIC;
	c->refs = 1;
	c->fd = fd;
	c->shard = shard;
	c->endpoint = endpoint;
	c->peer = *peer;
	c->inline_cap = (uint16_t)inline_cap;
	c->session = (uint8_t *)c->tail;
	c->opened_us = shard->now_us;
	outq_init(&c->out);
	ops_init(c);
	c->in = (struct span){.data = conn_inline(c), .cap = c->inline_cap};
	if (endpoint->tls) {
		c->tls = tls_accept(endpoint->tls);
		if (!c->tls)
			goto free_conn;
	}
	c->afd = taio_attach(shard->ring, fd, TAIO_CLASS_STREAM);
	if (c->afd < 0) {
		ret = c->afd;
		goto free_tls;
	}
	c->state = c->tls ? CONN_SHAKE : CONN_SERVE;
	if (service->open)
		service->open(c->session, endpoint->site, NULL);
	LIST_INSERT_HEAD(&shard->conns, c, link);
	shard->nconns++;
	count(&shard->counters, accepted);
	count(&shard->counters, active);
	*conn = c;
	return 0;
free_tls:
	tls_free(c->tls);
free_conn:
	free(c);
	return ret;
}

/* The one place where a connection ends. */
static void conn_destroy(struct conn *c)
{
	struct shard *shard = c->shard;

	assert(!c->rd.in_flight && !c->wr.in_flight && c->deadline_class == DEADLINE_NONE);
	LIST_REMOVE(c, link);
	shard->nconns--;
	count_by(&shard->counters, active, -1);
	if (c->endpoint->service->close)
		c->endpoint->service->close(c->session);
	outq_clear(&c->out);
	tls_free(c->tls);
	span_reset(c, &c->in);
	span_reset(c, &c->plain);
	span_reset(c, &c->wire);
	taio_detach(shard->ring, c->afd);
	close(c->fd);
	c->magic = 0;
	free(c);
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
	const char *text;
} reasons[] = {
#define REASON_ROW(NAME, name, text, by_cancel) [CLOSE_##NAME] = {COUNT_closed_##name, text},
	CLOSE_REASONS(REASON_ROW)
#undef REASON_ROW
};

const char *conn_why_text(enum close_reason why)
{
	return reasons[why].text;
}

void conn_because(struct conn *c, enum close_reason why)
{
	if (c->why != CLOSE_NONE)
		return;
	c->why = (uint8_t)why;
	count_add(&c->shard->counters, reasons[why].counter, 1);
}

size_t conn_memory(const struct conn *c)
{
	size_t in = c->in.cap > c->inline_cap ? c->in.cap : 0;

	return in + c->plain.cap + c->wire.cap + c->out.memory;
}

/* --- feeding --- */

/* Offers @len bytes; *used of them were consumed. FED_MORE: the service wants more than is there. */
static enum fed feed_bytes(struct conn *c, const char *data, size_t len, size_t *used)
{
	const struct service *service = c->endpoint->service;
	enum step step;

	*used = 0;
	while (*used < len) {
		size_t n;

		if (c->out.nbytes >= OUTQ_HIGH)
			return FED_STUCK;
		step = service->input(c->session, data + *used, len - *used, &n, &c->out);
		*used += n;
		if (step != STEP_MORE)
			return step == STEP_DONE ? FED_FINISH : FED_ABORT;
		if (!n)
			break;
	}
	if (conn_memory(c) > c->shard->settings->conn_memory)
		return FED_MEMORY;
	return c->out.nbytes >= OUTQ_HIGH ? FED_STUCK : FED_MORE;
}

static enum fed feed_span(struct conn *c, struct span *span)
{
	size_t used;
	enum fed fed = feed_bytes(c, span->data, span->len, &used);

	span_consume(span, used);
	return fed;
}

/* Ciphertext goes from in, output of TLS itself (handshake, tickets, alerts) to the tail of wire. */
static bool tls_begin(struct conn *c, struct tls_io *io, bool answers)
{
	if (!c->wire.data && answers) {
		c->wire.data = iobuf_get(c->shard);
		if (!c->wire.data)
			return false;
		c->wire.cap = IOBUF_SIZE;
		c->wire.len = c->wire_sent = 0;
	}
	*io = (struct tls_io){
		.in = (unsigned char *)c->in.data,
		.in_len = c->in.len,
		.out = c->wire.data ? (unsigned char *)c->wire.data + c->wire.len : NULL,
		.out_cap = c->wire.cap - c->wire.len,
	};
	return true;
}

static void tls_end(struct conn *c, const struct tls_io *io)
{
	c->wire.len += (uint32_t)io->out_len;
	span_consume(&c->in, c->in.len - io->in_len);
	if (!c->wire.len && !c->wr.in_flight)
		span_reset(c, &c->wire);
}

static const enum fed fed_by_tls[] = {
	[STEP_DONE] = FED_FINISH, [STEP_MORE] = FED_MORE,  [STEP_BLOCKED] = FED_STUCK,
	[STEP_CLOSED] = FED_EOF,  [STEP_FAILED] = FED_TLS,
};

enum fed conn_shake(struct conn *c)
{
	enum step result;
	struct tls_io io;

	if (!tls_begin(c, &io, true))
		return FED_MEMORY;
	result = tls_handshake(c->tls, &io);
	tls_end(c, &io);
	return fed_by_tls[result];
}

/* What was decrypted goes to the service; what it leaves is kept behind what it left before. */
static enum fed feed_decrypted(struct conn *c, const char *data, size_t len)
{
	enum fed fed;
	size_t used;

	c->progress = true;
	if (c->plain.len) {
		if (!span_append(c, &c->plain, data, len))
			return FED_MEMORY;
		return feed_span(c, &c->plain);
	}
	fed = feed_bytes(c, data, len, &used);
	if (used < len && (fed == FED_MORE || fed == FED_STUCK) &&
	    !span_append(c, &c->plain, data + used, len - used))
		return FED_MEMORY;
	return fed;
}

static enum fed tls_step(struct conn *c, size_t *n)
{
	enum step result;
	struct tls_io io;

	/* Reading seldom answers; what it does without room is held for out.c. */
	if (!tls_begin(c, &io, tls_has_output(c->tls)))
		return FED_MEMORY;
	result = tls_read(c->tls, &io, c->shard->scratch, SCRATCH_SIZE, n);
	tls_end(c, &io);
	return fed_by_tls[result];
}

static enum fed feed_tls(struct conn *c)
{
	enum fed fed = FED_MORE;

	if (c->plain.len)
		fed = feed_span(c, &c->plain);
	while (fed == FED_MORE) {
		size_t n;

		if (!c->in.len && !tls_has_input(c->tls))
			break;
		fed = tls_step(c, &n);
		if (fed != FED_FINISH)
			break;
		fed = feed_decrypted(c, (char *)c->shard->scratch, n);
	}
	if (!c->plain.len && c->plain.data)
		span_reset(c, &c->plain);
	return fed;
}

enum fed conn_feed(struct conn *c)
{
	c->progress = !c->tls;
	return c->tls ? feed_tls(c) : feed_span(c, &c->in);
}
