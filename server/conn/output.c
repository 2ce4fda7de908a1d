/* SPDX-License-Identifier: MIT */
/*
 * Output leaves in the order of the queue. A file range is read behind the memory that precedes it where it
 * fits, so that a small response is one write; otherwise in pieces of its own. Under TLS what is in
 * memory is encrypted into wire, and wire is what is sent. Worker's thread only.
 */
#include "output.h"

/* Reading less than this behind a response head is not worth a read of its own. */
#define FILL_MIN   4096
#define FILE_PIECE (64 * 1024)

/* Room that one more TLS record is worth. */
#define WIRE_ROOM_MIN 1024

/* The file range behind @seg that should be read into it before it is sent, or NULL. */
static struct seg *fill_from(const struct seg *seg)
{
	struct seg *next = STAILQ_NEXT(seg, link);
	uint32_t room = seg->mem.cap - seg->mem.end;

	if (!next || next->kind != SEG_FILE)
		return NULL;
	if (seg->mem.begin == seg->mem.end || next->range.len <= room)
		return next;
	return room >= FILL_MIN ? next : NULL;
}

static void file_op(const struct seg *seg, const struct seg *from, struct out_op *op)
{
	size_t room = seg->mem.cap - seg->mem.end;

	*op = (struct out_op){
		.data = (char *)seg->data + seg->mem.end,
		.len = from->range.len < room ? from->range.len : room,
		.afd = from->range.file->afd,
		.offset = from->range.offset,
	};
}

static enum out_next next_plain(struct conn *c, struct out_op *op)
{
	struct seg *seg = STAILQ_FIRST(&c->out.segs), *from;

	if (outq_empty(&c->out))
		return OUT_NOTHING;
	if (seg->kind == SEG_FILE) {
		uint64_t want = seg->range.len < FILE_PIECE ? seg->range.len : FILE_PIECE;

		seg = outq_head_room(&c->out, want);
		if (!seg)
			return OUT_NO_MEMORY;
	}
	from = fill_from(seg);
	if (from) {
		file_op(seg, from, op);
		return OUT_READ_FILE;
	}
	*op = (struct out_op){.data = seg->data + seg->mem.begin, .len = seg->mem.end - seg->mem.begin};
	return OUT_WRITE;
}

/* --- TLS --- */

static bool wire_open(struct conn *c)
{
	if (c->wire.data)
		return true;
	c->wire.data = iobuf_get(c->shard);
	if (!c->wire.data)
		return false;
	c->wire.cap = IOBUF_SIZE;
	c->wire.len = c->wire_sent = 0;
	return true;
}

static void wire_release(struct conn *c)
{
	if (c->wire.data)
		iobuf_put(c->shard, c->wire.data);
	c->wire = (struct span){0};
	c->wire_sent = 0;
}

static struct tls_io wire_io(struct conn *c)
{
	return (struct tls_io){
		.out = (unsigned char *)c->wire.data + c->wire.len,
		.out_cap = c->wire.cap - c->wire.len,
	};
}

static enum out_next wire_op(struct conn *c, struct out_op *op)
{
	*op = (struct out_op){.data = c->wire.data + c->wire_sent, .len = c->wire.len - c->wire_sent};
	return OUT_WRITE;
}

/* Encrypts the plain span @op; what does not fit stays in the queue. */
static enum step encrypt(struct conn *c, const struct out_op *op)
{
	struct tls_io io = wire_io(c);
	size_t n;
	enum step result = tls_write(c->tls, &io, op->data, op->len, &n);

	c->wire.len += (uint32_t)io.out_len;
	outq_consume(&c->out, n);
	return result;
}

/* What TLS holds for want of room comes out of any call; this one does nothing else (tls.h). */
static void flush_held(struct conn *c)
{
	struct tls_io io = wire_io(c);

	tls_handshake(c->tls, &io);
	c->wire.len += (uint32_t)io.out_len;
}

static enum out_next next_tls(struct conn *c, struct out_op *op)
{
	enum out_next next;

	if (c->wire.len > c->wire_sent)
		return wire_op(c, op);
	if (outq_empty(&c->out) && !tls_has_output(c->tls))
		return OUT_NOTHING;
	if (!wire_open(c))
		return OUT_NO_MEMORY;
	if (tls_has_output(c->tls))
		flush_held(c);
	while (c->state != CONN_SHAKE && c->wire.cap - c->wire.len >= WIRE_ROOM_MIN) {
		next = next_plain(c, op);
		if (next == OUT_READ_FILE && c->wire.len)
			break;
		if (next == OUT_NOTHING)
			break;
		if (next != OUT_WRITE)
			return next;
		switch (encrypt(c, op)) {
		case STEP_DONE:
			continue;
		case STEP_FAILED:
			return OUT_TLS_FAILED;
		default: /* the buffer is full: send it first */
			return wire_op(c, op);
		}
	}
	return c->wire.len ? wire_op(c, op) : OUT_NOTHING;
}

enum out_next out_next(struct conn *c, struct out_op *op)
{
	enum out_next next = c->tls ? next_tls(c, op) : next_plain(c, op);

	if (next == OUT_NOTHING)
		wire_release(c);
	return next;
}

void out_sent(struct conn *c, size_t n)
{
	if (!c->tls) {
		outq_consume(&c->out, n);
		return;
	}
	c->wire_sent += (uint32_t)n;
	if (c->wire_sent == c->wire.len)
		c->wire_sent = c->wire.len = 0;
}

void out_filled(struct conn *c, size_t n)
{
	outq_fill(&c->out, STAILQ_FIRST(&c->out.segs), (uint32_t)n);
}

bool out_close_tls(struct conn *c)
{
	struct tls_io io;

	if (!c->tls || c->closing_tls)
		return false;
	c->closing_tls = true;
	if (!wire_open(c))
		return false;
	io = wire_io(c);
	tls_shutdown(c->tls, &io);
	c->wire.len += (uint32_t)io.out_len;
	return c->wire.len > c->wire_sent;
}

void out_drop(struct conn *c)
{
	outq_clear(&c->out);
}
