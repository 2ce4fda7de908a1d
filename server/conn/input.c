/* SPDX-License-Identifier: MIT */
#include "input.h"

#include "op.h"

/* As much as a queue of output takes at once. */
#define READ_MAX OUTQ_HIGH

static size_t read_len(const struct conn *c)
{
	size_t room = buf_room(&c->in);

	return room < READ_MAX ? room : READ_MAX;
}

static bool read_room(struct conn *c)
{
	struct buf *in = &c->in;

	/* Where the last two reads were large, the next may be, too. */
	if (!in->len && !c->read_full && c->nlarge < 2 && in->cap > c->inline_cap)
		conn_shrink_input(c);
	if (!buf_room(in) || (c->read_full && in->cap < BUF_MAX))
		return buf_grow(in, &c->shard->blocks);
	return true;
}

/*
 * The kernel gets a session when nothing is under way: so while what was encrypted goes out, and no record
 * has been read in part, the next read is put off.
 */
static bool waits_for_kernel(const struct conn *c)
{
	return conn_is_tls(c) && conn_tls_wants_kernel(&c->tls) && c->state == CONN_SERVE &&
	       !op_is_idle(&c->wr) && !c->in.len && !c->plain.len;
}

bool input_start(struct conn *c)
{
	if (!op_is_idle(&c->rd) || c->input != INPUT_OPEN || waits_for_kernel(c))
		return true;
	if (!read_room(c))
		return false;
	conn_op_read(c, c->in.data + c->in.len, read_len(c));
	return true;
}

void input_received(struct conn *c, size_t n)
{
	c->read_full = n == read_len(c);
	if (n > c->inline_cap)
		c->nlarge = c->nlarge ? 2 : 1;
	else if (!c->read_full)
		c->nlarge = 0;
	c->has_read = true;
	c->rereads = false;
	c->in.len += (uint32_t)n;
}

void input_drop(struct conn *c)
{
	c->in.len = 0;
}

size_t input_left(const struct conn *c)
{
	return conn_is_tls(c) ? c->plain.len : c->in.len;
}

bool input_is_empty(const struct conn *c)
{
	return !c->in.len;
}

enum step input_handshake(struct conn *c)
{
	enum step step = conn_tls_handshake(&c->tls, &c->in, &c->shard->blocks);

	return step == STEP_FAILED ? conn_fail_tls(c) : step;
}

/* Offers @len bytes, calling the service at least once; sets *used to how many it consumed. */
static enum step offer(struct conn *c, const char *data, size_t len, size_t *used)
{
	const struct service *service = c->endpoint->service;
	size_t n;

	*used = 0;
	do {
		enum step step;

		if (c->out.nbytes >= OUTQ_HIGH) /* what was read stays */
			return conn_is_oversized(c) ? conn_fail(c, CLOSE_MEMORY) : STEP_BLOCKED;
		c->in_session = true;
		step = service->input(c->session, data + *used, len - *used, &n, &c->out);
		c->in_session = false;
		*used += n;
		if (step == STEP_FAILED)
			return conn_fail(c, CLOSE_ERROR);
		if (step == STEP_DONE && conn_is_oversized(c))
			return conn_fail(c, CLOSE_MEMORY);
		if (step != STEP_MORE)
			return step;
	} while (n && *used < len);
	if (conn_is_oversized(c))
		return conn_fail(c, CLOSE_MEMORY);
	return c->out.nbytes >= OUTQ_HIGH ? STEP_BLOCKED : STEP_MORE;
}

static enum step offer_buf(struct conn *c, struct buf *buf)
{
	size_t used;
	enum step step = offer(c, buf->data, buf->len, &used);

	buf_consume(buf, used);
	return step;
}

/* Offers the service decrypted bytes; keeps what it does not consume behind what it left before. */
static enum step offer_decrypted(struct conn *c, const char *data, size_t len)
{
	struct blocks *blocks = &c->shard->blocks;
	enum step step;
	size_t used;

	c->moved |= MOVED_INPUT;
	if (c->plain.len) {
		if (!buf_append(&c->plain, blocks, data, len))
			return conn_fail(c, CLOSE_MEMORY);
		return offer_buf(c, &c->plain);
	}
	step = offer(c, data, len, &used);
	if (used < len && (step == STEP_MORE || step == STEP_BLOCKED) &&
	    !buf_append(&c->plain, blocks, data + used, len - used))
		return conn_fail(c, CLOSE_MEMORY);
	return step;
}

/* @resumed: calls the session even if nothing is left to offer. */
static enum step feed_tls(struct conn *c, bool resumed)
{
	struct shard *shard = c->shard;
	enum step step = STEP_MORE;

	if (c->plain.len || resumed)
		step = offer_buf(c, &c->plain);
	while (step == STEP_MORE) {
		size_t n;

		step = conn_tls_read(&c->tls, &c->in, &shard->blocks, shard->scratch, SCRATCH_SIZE, &n);
		if (step == STEP_FAILED)
			return conn_fail_tls(c);
		if (step != STEP_DONE) /* of one record */
			break;
		step = offer_decrypted(c, (char *)shard->scratch, n);
	}
	if (!c->plain.len && c->plain.data)
		buf_release(&c->plain, &shard->blocks);
	if (step == STEP_MORE && conn_is_oversized(c)) /* OpenSSL has the beginning of a record */
		return conn_fail(c, CLOSE_MEMORY);
	return step;
}

/* @resumed: the session is called even if there is nothing to offer. */
static enum step feed(struct conn *c, bool resumed)
{
	size_t used;

	/* The read that is under way goes on where it began: what is in its buffer must not move. */
	if (!op_is_idle(&c->rd))
		return offer(c, NULL, 0, &used);
	return conn_is_tls(c) ? feed_tls(c, resumed) : offer_buf(c, &c->in);
}

enum step input_feed(struct conn *c)
{
	if (!conn_is_tls(c))
		c->moved |= MOVED_INPUT;
	return feed(c, c->input != INPUT_OPEN);
}

enum step input_resume(struct conn *c)
{
	return feed(c, true);
}

enum step input_begin(struct conn *c)
{
	enum step step = STEP_MORE;
	size_t used;

	/* Under TLS nothing is decrypted yet. */
	if (!conn_is_tls(c) && c->in.len)
		step = offer(c, NULL, 0, &used);
	return step == STEP_MORE ? feed(c, true) : step;
}
