/* SPDX-License-Identifier: MIT */
/*
 * TLS connections: tls/ translates between the wire and the protocol. An output buffer is held only from
 * encryption until it has been written, so an idle connection costs no more memory than its session.
 */
#include "sock.h"

#include "base/clock.h"
#include "conn.h"
#include "proto.h"
#include "settings.h"
#include "tls/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One record of maximum size and a small one after it. */
#define WIRE_CAP (17 * 1024)

/* Maximum plain bytes that one tls_read() returns. */
#define PLAIN_CAP (16 * 1024)

#define IN_CAP 4096

struct wire_buf {
	struct wire_buf *next; /* on tls_shared.free */
	unsigned char data[WIRE_CAP];
};

/* One per run (net->sock_data). */
struct tls_shared {
	struct tls_ctx *ctx;
	const char *sni;
	bool resume;
	struct tls_info info; /* of the first session established */
	struct wire_buf *free;
	char plain[PLAIN_CAP];
};

enum stream_state {
	STREAM_HANDSHAKE,
	STREAM_OPEN,
	STREAM_CLOSING,	 /* close_notify is due once everything else is sent */
	STREAM_NOTIFIED, /* close_notify is encrypted */
};

/* One per connection (conn->tls). */
struct tls_stream {
	struct tls *tls;
	const char *plain; /* what is still to be encrypted */
	size_t plain_left;
	struct wire_buf *buf; /* what conn_write() sends, or NULL */
	enum stream_state state;
	bool is_pumping; /* pump() is running; send() and finish() leave the work to it */
	bool has_ticket;
};

static struct tls_shared *shared_of(const struct conn *conn)
{
	return conn->net->sock_data;
}

static int shared_open(struct net *net, const struct settings *set, char *why)
{
	struct tls_client_params params = {
		.ca_file = set->ca,
		.insecure = set->insecure,
		.alpn = net->proto ? net->proto->alpn : NULL,
	};
	struct tls_shared *shared = calloc(1, sizeof(*shared));
	char reason[TLS_WHY_LEN] = "";
	int err;

	if (!shared) {
		snprintf(why, WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	shared->sni = set->server_name ? set->server_name : net->target.url.host;
	shared->resume = set->resume;
	err = tls_ctx_client(&shared->ctx, &params, reason);
	if (!err) {
		net->sock_data = shared;
		return 0;
	}
	free(shared);
	snprintf(why, WHY_LEN, "%s", reason);
	return err == -EINVAL ? -EBADMSG : err; /* not a usage error */
}

static void shared_close(struct net *net)
{
	struct tls_shared *shared = net->sock_data;
	struct wire_buf *buf;

	if (!shared)
		return;
	while ((buf = shared->free)) {
		shared->free = buf->next;
		free(buf);
	}
	tls_ctx_put(shared->ctx);
	free(shared);
	net->sock_data = NULL;
}

static const struct tls_info *shared_info(const struct net *net)
{
	const struct tls_shared *shared = net->sock_data;

	return shared->info.version ? &shared->info : NULL;
}

static struct wire_buf *buf_get(struct tls_shared *shared)
{
	struct wire_buf *buf = shared->free;

	if (!buf)
		return malloc(sizeof(*buf));
	shared->free = buf->next;
	return buf;
}

static void buf_put(struct conn *conn)
{
	struct tls_shared *shared = shared_of(conn);
	struct tls_stream *ts = conn->tls;

	if (!ts->buf)
		return;
	ts->buf->next = shared->free;
	shared->free = ts->buf;
	ts->buf = NULL;
}

/* While a write is in flight, there is no room for output: tls/ keeps it until the next call. */
static int begin_io(struct conn *conn, struct tls_io *io)
{
	struct tls_stream *ts = conn->tls;

	*io = (struct tls_io){.in = (unsigned char *)conn->in, .in_len = conn->in_len};
	if (!op_is_idle(&conn->wr))
		return 0;
	if (!ts->buf)
		ts->buf = buf_get(shared_of(conn));
	if (!ts->buf)
		return -ENOMEM;
	io->out = ts->buf->data;
	io->out_cap = WIRE_CAP;
	return 0;
}

static void end_io(struct conn *conn, const struct tls_io *io)
{
	if (io->in_len)
		memmove(conn->in, io->in, io->in_len);
	conn->in_len = (uint32_t)io->in_len;
	if (io->out_len && conn_is_alive(conn)) {
		conn_write(conn, (const char *)conn->tls->buf->data, io->out_len);
	} else if (op_is_idle(&conn->wr)) {
		buf_put(conn);
	}
}

static void tls_failed(struct conn *conn)
{
	char why[200];

	snprintf(why, sizeof(why), "%s", tls_error(conn->tls->tls));
	conn_fail(conn, ERROR_TLS, 0, why);
}

static void handshake_done(struct conn *conn)
{
	struct tls_shared *shared = shared_of(conn);
	struct stats *stats = conn->net->stats;
	struct tls_info info;
	uint64_t took_ns = clock_ns() - conn->handshake_ns;

	conn->tls->state = STREAM_OPEN;
	tls_info(conn->tls->tls, &info);
	if (!shared->info.version)
		shared->info = info;
	hist_add(info.resumed ? &stats->tls_resumed : &stats->tls_full, took_ns);
	conn_established(conn);
}

static void handshake(struct conn *conn, struct tls_io *io)
{
	enum step step = tls_handshake(conn->tls->tls, io);

	if (step == STEP_DONE)
		handshake_done(conn);
	else if (step == STEP_CLOSED)
		conn_eof(conn);
	else if (step == STEP_FAILED)
		tls_failed(conn);
}

/*
 * The ticket is for the next connection on this slot. Each ticket is used once, so every connection has to
 * bring one. Checks for it before the response is passed on, because the receiver may close the connection,
 * and a ticket that arrives after our close_notify is unusable.
 */
static void take_ticket(struct conn *conn)
{
	struct tls_ticket *ticket;

	if (!shared_of(conn)->resume || conn->tls->has_ticket || conn->state != CONN_OPEN)
		return;
	ticket = tls_ticket_get(conn->tls->tls);
	if (!ticket)
		return;
	tls_ticket_free(conn->ticket);
	conn->ticket = ticket;
	conn->tls->has_ticket = true;
	if (conn->net->callbacks->on_ticket)
		conn->net->callbacks->on_ticket(conn);
}

static void decrypt(struct conn *conn, struct tls_io *io)
{
	struct tls_shared *shared = shared_of(conn);
	enum step step;
	size_t n;

	do {
		step = tls_read(conn->tls->tls, io, shared->plain, PLAIN_CAP, &n);
		take_ticket(conn);
		if (step == STEP_DONE)
			conn_input(conn, shared->plain, n);
	} while (step == STEP_DONE && conn_is_alive(conn));
	if (step == STEP_CLOSED)
		conn_eof(conn);
	else if (step == STEP_FAILED)
		tls_failed(conn);
}

static void encrypt(struct conn *conn, struct tls_io *io)
{
	struct tls_stream *ts = conn->tls;
	enum step step = STEP_DONE;
	size_t n;

	while (ts->plain_left && io->out_len < io->out_cap && step == STEP_DONE) {
		step = tls_write(ts->tls, io, ts->plain, ts->plain_left, &n);
		ts->plain += n;
		ts->plain_left -= n;
	}
	if (step == STEP_FAILED)
		tls_failed(conn);
}

static void notify(struct conn *conn, struct tls_io *io)
{
	struct tls_stream *ts = conn->tls;

	if (ts->plain_left || !op_is_idle(&conn->wr))
		return;
	ts->state = STREAM_NOTIFIED;
	if (tls_shutdown(ts->tls, io) == STEP_FAILED || !io->out_len)
		conn_shutdown(conn);
}

/* Moves as much as possible in both directions. */
static void pump(struct conn *conn)
{
	struct tls_stream *ts = conn->tls;
	struct tls_io io;

	if (begin_io(conn, &io) < 0) {
		conn_fail(conn, ERROR_IO, ENOMEM, NULL);
		return;
	}
	ts->is_pumping = true;
	if (ts->state == STREAM_HANDSHAKE)
		handshake(conn, &io);
	if (ts->state != STREAM_HANDSHAKE && conn_is_alive(conn))
		decrypt(conn, &io);
	if (conn_is_alive(conn))
		encrypt(conn, &io);
	if (ts->state == STREAM_CLOSING && conn_is_alive(conn))
		notify(conn, &io);
	ts->is_pumping = false;
	end_io(conn, &io);
}

static bool can_pump(const struct conn *conn)
{
	return !conn->tls->is_pumping && op_is_idle(&conn->wr);
}

static void stream_start(struct conn *conn)
{
	struct tls_shared *shared = shared_of(conn);
	struct tls_stream *ts = calloc(1, sizeof(*ts));

	if (ts)
		ts->tls = tls_connect(shared->ctx, shared->sni);
	conn->tls = ts;
	if (!ts || !ts->tls) {
		conn_fail(conn, ERROR_TLS, ENOMEM, NULL);
		return;
	}
	if (conn->ticket && shared->resume)
		tls_resume(ts->tls, conn->ticket); /* if the ticket is refused, the handshake is a full one */
	pump(conn);
}

static void stream_send(struct conn *conn, const char *data, size_t len)
{
	conn->tls->plain = data;
	conn->tls->plain_left = len;
	if (can_pump(conn))
		pump(conn);
}

static void stream_written(struct conn *conn)
{
	struct tls_stream *ts = conn->tls;
	bool has_output = tls_has_output(ts->tls);

	if (ts->state == STREAM_NOTIFIED && !has_output) {
		conn_shutdown(conn);
	} else if (ts->plain_left || ts->state >= STREAM_CLOSING || conn->in_len || has_output) {
		pump(conn);
		return;
	}
	buf_put(conn);
}

static void stream_finish(struct conn *conn)
{
	conn->tls->state = STREAM_CLOSING;
	if (can_pump(conn))
		pump(conn);
}

static void stream_stop(struct conn *conn)
{
	struct tls_stream *ts = conn->tls;

	if (!ts)
		return;
	buf_put(conn);
	if (ts->tls)
		tls_free(ts->tls);
	free(ts);
	conn->tls = NULL;
}

static void stream_forget(struct conn *conn)
{
	tls_ticket_free(conn->ticket);
	conn->ticket = NULL;
}

const struct sock sock_tls = {
	.name = "tls",
	.is_tls = true,
	.in_cap = IN_CAP,
	.open = shared_open,
	.close = shared_close,
	.info = shared_info,
	.start = stream_start,
	.input = pump,
	.send = stream_send,
	.written = stream_written,
	.finish = stream_finish,
	.stop = stream_stop,
	.forget = stream_forget,
};
