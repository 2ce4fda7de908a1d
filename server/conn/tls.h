/* SPDX-License-Identifier: MIT */
/*
 * The TLS of a connection: the session, and outgoing ciphertext (wire), which only this file owns. input.c
 * reads incoming ciphertext, and this file consumes it. Results are those of tls/tls.h. STEP_FAILED for lack
 * of memory leaves the state unchanged; a failure of TLS makes it CONN_TLS_ENDED.
 */
#ifndef CONN_TLS_H
#define CONN_TLS_H

#include "base/step.h"
#include "buf.h"

#include <stdbool.h>
#include <stddef.h>

struct conn_tls_kept;
struct tls;
struct tls_ctx;
struct tls_info;
struct tls_io;
struct tls_kernel;

enum conn_tls_state {
	CONN_TLS_HANDSHAKE, /* only the handshake may be sent */
	CONN_TLS_OPEN,
	CONN_TLS_ENDED, /* close_notify or an alert is the last record */
};

struct conn_tls {
	struct tls *session; /* NULL: the connection is plain, or the kernel has it */
	struct tls_kernel
		*kernel; /* not NULL: the socket reads and writes plain bytes, and this has the rest */
	struct buf wire;
	uint32_t sent; /* bytes of wire that the network has taken */
	enum conn_tls_state state;
	struct conn_tls_kept *kept; /* of a session that the kernel has, or NULL */
	bool wants_kernel;
	bool is_established; /* the handshake is over, and what it took is free */
};

/* @host: NULL for a server's session, else the name that the peer's certificate must be for. 0 or -ENOMEM. */
int conn_tls_open(struct conn_tls *t, struct tls_ctx *ctx, const char *host);
void conn_tls_fini(struct conn_tls *t, struct blocks *blocks);

/* Runs the handshake on the ciphertext in @in. STEP_DONE: it is complete. */
enum step conn_tls_handshake(struct conn_tls *t, struct buf *in, struct blocks *blocks);

/*
 * The same in two halves, for whoever calls tls_handshake() with @io in between, on any thread: meanwhile
 * nothing else here is called, and @in and the wire stay as they are. False: no memory.
 */
bool conn_tls_handshake_begin(struct conn_tls *t, struct buf *in, struct blocks *blocks, struct tls_io *io);
/* @step is the result of tls_handshake(), and what this returns. */
enum step conn_tls_handshake_end(struct conn_tls *t, struct buf *in, struct blocks *blocks,
				 const struct tls_io *io, enum step step);

/* STEP_DONE: *n bytes of one record were decrypted to @plain, which holds @cap. */
enum step conn_tls_read(struct conn_tls *t, struct buf *in, struct blocks *blocks, void *plain, size_t cap,
			size_t *n);

/* STEP_DONE: *n bytes of @plain were encrypted. STEP_BLOCKED: send what is pending first. */
enum step conn_tls_write(struct conn_tls *t, struct blocks *blocks, const char *plain, size_t len, size_t *n);

/* Makes room for @len bytes of plaintext, as far as a buffer goes. False: no memory. */
bool conn_tls_reserve(struct conn_tls *t, struct blocks *blocks, size_t len);

/* Adds to the wire what the session held back for lack of room: STEP_DONE, or STEP_FAILED without memory. */
enum step conn_tls_flush(struct conn_tls *t, struct blocks *blocks);

/* What to send next; false if there is nothing, and no memory is held then. */
bool conn_tls_pending(struct conn_tls *t, struct blocks *blocks, const char **data, size_t *len);

/* Has everything that was encrypted been sent? */
static inline bool conn_tls_is_sent(const struct conn_tls *t)
{
	return t->wire.len == t->sent;
}

/* The network has taken @n bytes. */
void conn_tls_sent(struct conn_tls *t, size_t n);

/* Sends @text instead of an alert to a peer that does not speak TLS. Nothing may have been sent before. */
void conn_tls_say(struct conn_tls *t, struct blocks *blocks, const char *text);

/*
 * Gives the session to the kernel, if that can be now: nothing waits on either side, @in included, and no
 * operation is under way on @fd. @keeps: conn_tls_info() is to go on. 0; -EAGAIN: something waits; other errors as tls_kernel_start(). Not asked
 * again once it has said no.
 */
int conn_tls_to_kernel(struct conn_tls *t, struct blocks *blocks, const struct buf *in, int fd, bool keeps);

/* Whether the session is still to be given to the kernel. */
static inline bool conn_tls_wants_kernel(const struct conn_tls *t)
{
	return t->wants_kernel && t->state == CONN_TLS_OPEN;
}

/* As tls_info(), also of one that the kernel has, if that was kept. False: there is none, or it was not. */
bool conn_tls_info(const struct conn_tls *t, struct tls_info *info);

/* Puts @len bytes ahead of the handshake. 0 or -ENOMEM. */
int conn_tls_preface(struct conn_tls *t, struct blocks *blocks, const char *data, size_t len);

/* Puts close_notify behind what was sent, once. True if there is something to send now. */
bool conn_tls_end(struct conn_tls *t, struct blocks *blocks);

#endif
