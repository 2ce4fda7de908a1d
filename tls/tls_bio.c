/* SPDX-License-Identifier: MIT */
/*
 * The BIO between OpenSSL and a struct tls_io: reads come from io->in, writes go to io->out, one copy each.
 * Called by OpenSSL inside a call on a session, on the session's thread.
 *
 * Invariant: a write is never refused. What does not fit in io->out is held in memory and goes out first in
 * the calls that follow. So OpenSSL never stops in the middle of a record and never asks for the same bytes
 * again, and every record that is begun is finished. The callers in tls_session.c keep the held part small:
 * they do not produce more while there is some.
 */
#include "tls_bio.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int bio_read(BIO *bio, char *data, size_t len, size_t *nread)
{
	struct tls_io *io = ((struct tls *)BIO_get_data(bio))->io;
	size_t n = min_size(len, io->in_len);

	BIO_clear_retry_flags(bio);
	if (!n) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(data, io->in, n);
	io->in += n;
	io->in_len -= n;
	*nread = n;
	return 1;
}

static size_t out_append(struct tls_io *io, const void *data, size_t len)
{
	size_t n = min_size(len, io->out_cap - io->out_len);

	if (n)
		memcpy(io->out + io->out_len, data, n);
	io->out_len += n;
	return n;
}

static int held_append(struct tls *tls, const void *data, size_t len)
{
	struct held *held = tls->held;

	if (!held || held->cap - held->end < len) {
		size_t end = held ? held->end : 0;
		size_t cap = end + len;

		held = realloc(held, sizeof(*held) + cap);
		if (!held)
			return -1;
		if (!tls->held)
			held->begin = held->end = 0;
		held->cap = cap;
		tls->held = held;
	}
	memcpy(held->data + held->end, data, len);
	held->end += len;
	return 0;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *nwritten)
{
	struct tls *tls = BIO_get_data(bio);
	/* Stays in order: while something is held there is no room, because tls_bio_flush() has used it. */
	size_t n = out_append(tls->io, data, len);

	BIO_clear_retry_flags(bio);
	if (n < len && held_append(tls, data + n, len - n))
		return -1;
	*nwritten = len;
	return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* One method per context: there is no cheaper owner, and BIO_get_new_index() would run out after 127. */
BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tls_io");

	if (!method)
		return NULL;
	BIO_meth_set_read_ex(method, bio_read);
	BIO_meth_set_write_ex(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	BIO_meth_set_create(method, bio_create);
	return method;
}

/* Moves held ciphertext to io->out as far as there is room, and frees it with its last byte. */
void tls_bio_flush(struct tls *tls, struct tls_io *io)
{
	struct held *held = tls->held;

	if (!held)
		return;
	held->begin += out_append(io, held->data + held->begin, held->end - held->begin);
	if (held->begin < held->end)
		return;
	free(held);
	tls->held = NULL;
}
