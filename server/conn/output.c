/* SPDX-License-Identifier: MIT */
/*
 * Output is sent in the order of the queue. A file range is read in behind the memory that precedes it if it
 * fits, so that a small response is one write; otherwise into segments of its own. Under TLS what is in
 * memory is encrypted, and the ciphertext is sent.
 */
#include "output.h"

#include "access.h"
#include "op.h"
#include "tls/tls.h"

#include <errno.h>

/* Room behind a response head that is smaller than this is not worth a separate read. */
#define FILL_MIN   4096
#define FILE_PIECE (64 * 1024)

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

static enum step read_file(struct conn *c, struct seg *seg, const struct seg *from)
{
	size_t room = seg->mem.cap - seg->mem.end;
	size_t len = from->range.len < room ? from->range.len : room;

	conn_op_read_file(c, from->range.file->afd, seg->data + seg->mem.end, len, from->range.offset);
	return STEP_BLOCKED;
}

/* The memory segment at the head of the queue, which is not empty; made if a file range is there. NULL: no
 * memory, or more than is this connection's. */
static struct seg *head_memory(struct conn *c)
{
	struct seg *seg = STAILQ_FIRST(&c->out.segs);

	if (seg->kind == SEG_MEM)
		return seg;
	seg = outq_head_room(&c->out, seg->range.len < FILE_PIECE ? seg->range.len : FILE_PIECE);
	return seg && conn_is_oversized(c) ? NULL : seg;
}

static enum step start_plain(struct conn *c)
{
	struct seg *seg, *from;

	if (outq_empty(&c->out))
		return STEP_DONE;
	seg = head_memory(c);
	if (!seg)
		return conn_fail(c, CLOSE_MEMORY);
	from = fill_from(seg);
	if (from)
		return read_file(c, seg, from);
	conn_op_write(c, seg->data + seg->mem.begin, seg->mem.end - seg->mem.begin);
	return STEP_BLOCKED;
}

/* --- TLS --- */

/*
 * Makes room to encrypt @len bytes at once if they come from another connection. A service that answers what
 * it reads sends a block at a time, because it reads on when most is sent. False: no memory.
 */
static bool reserve(struct conn *c, size_t len)
{
	return !c->is_relayed || conn_tls_reserve(&c->tls, &c->shard->blocks, len);
}

/* Encrypts what is in memory. STEP_DONE: all, or as much as there is room for. */
static enum step encrypt(struct conn *c)
{
	struct seg *seg, *from;
	enum step step;
	size_t n;

	while (!outq_empty(&c->out)) {
		seg = head_memory(c);
		if (!seg)
			return conn_fail(c, CLOSE_MEMORY);
		from = fill_from(seg);
		if (from) /* what precedes the file goes first */
			return conn_tls_is_sent(&c->tls) ? read_file(c, seg, from) : STEP_DONE;
		if (!reserve(c, seg->mem.end - seg->mem.begin))
			return conn_fail(c, CLOSE_MEMORY);
		step = conn_tls_write(&c->tls, &c->shard->blocks, seg->data + seg->mem.begin,
				      seg->mem.end - seg->mem.begin, &n);
		outq_consume(&c->out, n);
		if (step == STEP_BLOCKED)
			return STEP_DONE;
		if (step == STEP_FAILED)
			return conn_fail_tls(c);
	}
	return STEP_DONE;
}

/* Where output stands still for a moment, and input does: see input_start(). False: the socket is of no more
 * use. */
static bool try_kernel(struct conn *c)
{
	int ret;

	if (!conn_tls_wants_kernel(&c->tls) || c->state != CONN_SERVE || !op_is_idle(&c->rd) || c->plain.len)
		return true;
	/* A session that waits may still ask for what TLS knows of the peer. */
	if (c->input != INPUT_OPEN)
		return true;
	ret = conn_tls_to_kernel(&c->tls, &c->shard->blocks, &c->in, c->fd,
				 c->shard->access && c->endpoint->access);
	if (!ret)
		count(&c->shard->counters, tls_kernel);
	return !ret || ret == -EAGAIN || ret == -EOPNOTSUPP || ret == -ENOMEM;
}

static enum step start_tls(struct conn *c)
{
	struct blocks *blocks = &c->shard->blocks;
	enum step step = STEP_DONE;
	const char *data;
	size_t len;

	/* The rest of a partial write is sent before anything is added. */
	if (conn_tls_is_sent(&c->tls)) {
		if (conn_tls_flush(&c->tls, blocks) == STEP_FAILED)
			return conn_fail_tls(c);
		if (c->tls.state == CONN_TLS_OPEN)
			step = encrypt(c);
	}
	if (step != STEP_DONE || !conn_tls_pending(&c->tls, blocks, &data, &len))
		return step;
	conn_op_write(c, data, len);
	return STEP_BLOCKED;
}

/* Nothing waits to be sent: what comes now can be encrypted where it is, without a copy in the queue. */
static bool encrypts_at_once(const struct conn *c)
{
	return conn_is_tls(c) && c->tls.state == CONN_TLS_OPEN && outq_empty(&c->out) && op_is_idle(&c->wr) &&
	       conn_tls_is_sent(&c->tls);
}

int output_append(struct conn *c, const char *data, size_t len)
{
	enum step step = STEP_BLOCKED;
	size_t n;

	c->is_relayed = true;
	if (encrypts_at_once(c))
		step = reserve(c, len) ? STEP_DONE : STEP_FAILED;
	while (len && step == STEP_DONE) {
		step = conn_tls_write(&c->tls, &c->shard->blocks, data, len, &n);
		data += n;
		len -= n;
	}
	if (step == STEP_FAILED || outq_append(&c->out, data, len) || conn_is_oversized(c)) {
		conn_set_reason(c, CLOSE_MEMORY);
		return -ENOMEM;
	}
	return 0;
}

enum step output_start(struct conn *c)
{
	if (!op_is_idle(&c->wr))
		return STEP_BLOCKED;
	if (c->output_lost)
		output_drop(c);
	if (conn_is_tls(c) && !try_kernel(c))
		return conn_fail(c, CLOSE_ERROR);
	return conn_is_tls(c) ? start_tls(c) : start_plain(c);
}

void output_sent(struct conn *c, size_t n)
{
	c->moved |= MOVED_OUTPUT;
	if (conn_is_tls(c))
		conn_tls_sent(&c->tls, n);
	else
		outq_consume(&c->out, n);
}

enum step output_filled(struct conn *c, size_t n)
{
	struct seg *seg = STAILQ_FIRST(&c->out.segs), *range = STAILQ_NEXT(seg, link);
	struct outq_file *file = range->range.file;
	enum outq_file_state state = OUTQ_FILE_SAME;

	c->moved |= MOVED_OUTPUT;
	if (c->output_lost)
		return STEP_DONE;
	if (file->check)
		state = file->check(file, range->range.offset, seg->data + seg->mem.end, n);
	if (state == OUTQ_FILE_CHANGED || (state == OUTQ_FILE_GREW && outq_is_callable(seg)))
		return output_unfilled(c, 0);
	outq_fill(&c->out, seg, (uint32_t)n);
	return STEP_DONE;
}

enum step output_unfilled(struct conn *c, int err)
{
	const struct service *service = c->endpoint->service;
	struct seg *seg = STAILQ_FIRST(&c->out.segs);
	uint64_t before = c->out.nbytes, at;
	struct outq_file *file;
	struct outq rest;
	uint32_t note;

	if (c->output_lost)
		return STEP_DONE;
	if (!outq_is_callable(seg))
		return STEP_BLOCKED;
	outq_init(&rest);
	file = outq_call_back(&c->out, seg, &rest, &note);
	at = outq_end(&c->out);
	err = service->respond_again(c->session, file, note, err, &c->out);
	outq_splice(&c->out, &rest);
	conn_access_shift(c, at, (int64_t)(c->out.nbytes - before));
	outq_file_put(file);
	return err ? conn_fail(c, CLOSE_MEMORY) : STEP_DONE;
}

const char *output_file(const struct conn *c)
{
	return STAILQ_NEXT(STAILQ_FIRST(&c->out.segs), link)->range.file->name;
}

/* The kernel sends close_notify behind what it has, once there is room. */
static bool end_kernel(struct conn *c)
{
	if (c->tls.state == CONN_TLS_ENDED)
		return false;
	if (tls_kernel_shutdown(c->fd) == -EAGAIN) {
		conn_op_room(c);
		return true;
	}
	c->tls.state = CONN_TLS_ENDED;
	return false;
}

bool output_end(struct conn *c)
{
	if (c->tls.kernel)
		return end_kernel(c);
	return conn_is_tls(c) && conn_tls_end(&c->tls, &c->shard->blocks);
}

void output_drop(struct conn *c)
{
	conn_access_cut(c);
	c->output_lost = !op_is_idle(&c->wr) && c->wr.kind == OP_FILE;
	if (!c->output_lost)
		outq_clear(&c->out);
}
