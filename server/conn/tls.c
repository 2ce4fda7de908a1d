/* SPDX-License-Identifier: MIT */
#include "tls.h"

#include "tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Minimum room for which one more TLS record is worthwhile. */
#define ROOM_MIN 1024

int conn_tls_open(struct conn_tls *t, struct tls_ctx *ctx, const char *host)
{
	t->session = host ? tls_connect(ctx, host) : tls_accept(ctx);
	t->wants_kernel = tls_ctx_allows_kernel(ctx);
	return t->session ? 0 : -ENOMEM;
}

static void wire_release(struct conn_tls *t, struct blocks *blocks)
{
	buf_release(&t->wire, blocks);
	t->sent = 0;
}

void conn_tls_fini(struct conn_tls *t, struct blocks *blocks)
{
	tls_free(t->session);
	tls_kernel_free(t->kernel);
	free(t->kept);
	wire_release(t, blocks);
}

static bool wire_open(struct conn_tls *t, struct blocks *blocks)
{
	return t->wire.data || buf_reserve(&t->wire, blocks, BLOCK_SIZE);
}

/* Points the session's output at the tail of wire, if there is one. */
static struct tls_io io_begin(struct conn_tls *t, const struct buf *in)
{
	return (struct tls_io){
		.in = in ? (unsigned char *)in->data : NULL,
		.in_len = in ? in->len : 0,
		.out = t->wire.data ? (unsigned char *)t->wire.data + t->wire.len : NULL,
		.out_cap = buf_room(&t->wire),
	};
}

static enum step io_end(struct conn_tls *t, const struct tls_io *io, struct buf *in, struct blocks *blocks,
			enum step step)
{
	t->wire.len += (uint32_t)io->out_len;
	if (!t->wire.len)
		wire_release(t, blocks);
	if (in)
		buf_consume(in, in->len - io->in_len);
	if (step == STEP_FAILED)
		t->state = CONN_TLS_ENDED;
	return step;
}

bool conn_tls_handshake_begin(struct conn_tls *t, struct buf *in, struct blocks *blocks, struct tls_io *io)
{
	if (!wire_open(t, blocks))
		return false;
	*io = io_begin(t, in);
	return true;
}

enum step conn_tls_handshake_end(struct conn_tls *t, struct buf *in, struct blocks *blocks,
				 const struct tls_io *io, enum step step)
{
	if (step == STEP_DONE)
		t->state = CONN_TLS_OPEN;
	return io_end(t, io, in, blocks, step);
}

enum step conn_tls_handshake(struct conn_tls *t, struct buf *in, struct blocks *blocks)
{
	struct tls_io io;

	if (!conn_tls_handshake_begin(t, in, blocks, &io))
		return STEP_FAILED;
	return conn_tls_handshake_end(t, in, blocks, &io, tls_handshake(t->session, &io));
}

enum step conn_tls_read(struct conn_tls *t, struct buf *in, struct blocks *blocks, void *plain, size_t cap,
			size_t *n)
{
	struct tls_io io;

	*n = 0;
	/* Nothing waits: STEP_MORE without a call. */
	if (!in->len && !tls_has_input(t->session))
		return STEP_MORE;
	/* Reading seldom produces output; what has no room is held for conn_tls_flush(). */
	if (tls_has_output(t->session) && !wire_open(t, blocks))
		return STEP_FAILED;
	io = io_begin(t, in);
	return io_end(t, &io, in, blocks, tls_read(t->session, &io, plain, cap, n));
}

enum step conn_tls_write(struct conn_tls *t, struct blocks *blocks, const char *plain, size_t len, size_t *n)
{
	struct tls_io io;

	*n = 0;
	if (!wire_open(t, blocks))
		return STEP_FAILED;
	if (buf_room(&t->wire) < ROOM_MIN)
		return STEP_BLOCKED;
	io = io_begin(t, NULL);
	return io_end(t, &io, NULL, blocks, tls_write(t->session, &io, plain, len, n));
}

bool conn_tls_reserve(struct conn_tls *t, struct blocks *blocks, size_t len)
{
	return buf_reserve(&t->wire, blocks, len + (len / TLS_RECORD_PLAIN + 1) * TLS_RECORD_EXTRA);
}

enum step conn_tls_flush(struct conn_tls *t, struct blocks *blocks)
{
	struct tls_io io;

	if (!tls_has_output(t->session))
		return STEP_DONE;
	if (!wire_open(t, blocks))
		return STEP_FAILED;
	/* Any call puts out what is held; this one does nothing else (tls.h). */
	io = io_begin(t, NULL);
	tls_handshake(t->session, &io);
	io_end(t, &io, NULL, blocks, STEP_DONE);
	return STEP_DONE;
}

bool conn_tls_pending(struct conn_tls *t, struct blocks *blocks, const char **data, size_t *len)
{
	*data = t->wire.data + t->sent;
	*len = t->wire.len - t->sent;
	if (!*len)
		wire_release(t, blocks);
	return *len;
}

void conn_tls_sent(struct conn_tls *t, size_t n)
{
	t->sent += (uint32_t)n;
	if (t->sent == t->wire.len)
		t->sent = t->wire.len = 0;
}

void conn_tls_say(struct conn_tls *t, struct blocks *blocks, const char *text)
{
	size_t len = strlen(text);

	assert(t->state == CONN_TLS_ENDED && !t->sent && len <= BLOCK_SIZE);
	if (!wire_open(t, blocks))
		return;
	memcpy(t->wire.data, text, len);
	t->wire.len = (uint32_t)len;
}

/* What tls_info() says. */
struct conn_tls_kept {
	const char *version, *cipher; /* OpenSSL's constants */
	bool resumed, has_client_cert;
	char names[]; /* server name, protocol and client's name, each with its NUL */
};

static struct conn_tls_kept *keep(const struct tls *session)
{
	struct tls_info info;
	struct conn_tls_kept *kept;
	char *to;

	tls_info(session, &info);
	kept = malloc(sizeof(*kept) + strlen(info.server_name) + strlen(info.alpn) + strlen(info.client_name) + 3);
	if (!kept)
		return NULL;
	*kept = (struct conn_tls_kept){info.version, info.cipher, info.resumed, info.has_client_cert};
	to = stpcpy(kept->names, info.server_name) + 1;
	to = stpcpy(to, info.alpn) + 1;
	strcpy(to, info.client_name);
	return kept;
}

static void tell_kept(const struct conn_tls_kept *kept, struct tls_info *info)
{
	const char *name = kept->names;

	info->version = kept->version;
	info->cipher = kept->cipher;
	info->resumed = kept->resumed;
	info->has_client_cert = kept->has_client_cert;
	info->server_name = name;
	name += strlen(name) + 1;
	strcpy(info->alpn, name);
	name += strlen(name) + 1;
	strcpy(info->client_name, name);
}

bool conn_tls_info(const struct conn_tls *t, struct tls_info *info)
{
	if (t->session)
		tls_info(t->session, info);
	else if (t->kept)
		tell_kept(t->kept, info);
	return t->session || t->kept;
}

int conn_tls_to_kernel(struct conn_tls *t, struct blocks *blocks, const struct buf *in, int fd, bool keeps)
{
	int ret;

	if (in->len || !conn_tls_is_sent(t) || tls_has_output(t->session) ||
	    !tls_is_between_records(t->session))
		return -EAGAIN;
	t->wants_kernel = false;
	ret = tls_kernel_start(&t->kernel, t->session, fd);
	if (ret)
		return ret;
	if (keeps)
		t->kept = keep(t->session);
	tls_free(t->session);
	t->session = NULL;
	wire_release(t, blocks);
	return 0;
}

int conn_tls_preface(struct conn_tls *t, struct blocks *blocks, const char *data, size_t len)
{
	return !len || buf_append(&t->wire, blocks, data, len) ? 0 : -ENOMEM;
}

bool conn_tls_end(struct conn_tls *t, struct blocks *blocks)
{
	struct tls_io io;

	if (t->state == CONN_TLS_ENDED)
		return false;
	t->state = CONN_TLS_ENDED;
	if (!wire_open(t, blocks))
		return false;
	io = io_begin(t, NULL);
	tls_shutdown(t->session, &io);
	t->wire.len += (uint32_t)io.out_len;
	return !conn_tls_is_sent(t);
}
