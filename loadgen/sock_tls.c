/* SPDX-License-Identifier: MIT */
/*
 * TLS connections: tls/ between the wire and the protocol. An output buffer is held only from the
 * encryption to the end of its write, so that an idle connection costs its session alone. Loop thread only.
 */
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A record of the largest size and a small one behind it. */
#define WIRE_CAP (17 * 1024)

struct wire_buf {
	struct wire_buf *next; /* on run->wire_free */
	unsigned char data[WIRE_CAP];
};

struct tls_sock {
	struct tls *tls;
	const char *plain; /* what is still to be encrypted */
	size_t plain_left;
	struct wire_buf *buf; /* NULL, or what conn_write() sends */
	bool shaken;
	bool pumping;	/* pump() runs: send() and finish() leave the work to it */
	bool finishing; /* close_notify is to be sent when all else is */
	bool notified;	/* it is encrypted */
	bool has_ticket;
};

static struct wire_buf *buf_get(struct run *run)
{
	struct wire_buf *buf = run->wire_free;

	if (!buf)
		return malloc(sizeof(*buf));
	run->wire_free = buf->next;
	return buf;
}

static void buf_put(struct run *run, struct wire_buf *buf)
{
	if (!buf)
		return;
	buf->next = run->wire_free;
	run->wire_free = buf;
}

void sock_tls_free_buffers(struct run *run)
{
	struct wire_buf *buf;

	while ((buf = run->wire_free)) {
		run->wire_free = buf->next;
		free(buf);
	}
}

/* While a write is in flight there is no room for output: tls/ keeps it until the next call. */
static int io_begin(struct conn *conn, struct tls_io *io)
{
	struct tls_sock *ts = conn->tls;

	*io = (struct tls_io){.in = (unsigned char *)conn->in, .in_len = conn->in_len};
	if (conn->writing)
		return 0;
	if (!ts->buf)
		ts->buf = buf_get(conn->run);
	if (!ts->buf)
		return -ENOMEM;
	io->out = ts->buf->data;
	io->out_cap = WIRE_CAP;
	return 0;
}

static void io_end(struct conn *conn, const struct tls_io *io)
{
	struct tls_sock *ts = conn->tls;

	if (io->in_len)
		memmove(conn->in, io->in, io->in_len);
	conn->in_len = (uint32_t)io->in_len;
	if (io->out_len && conn_is_alive(conn)) {
		conn_write(conn, (const char *)ts->buf->data, io->out_len);
	} else if (!conn->writing) {
		buf_put(conn->run, ts->buf);
		ts->buf = NULL;
	}
}

static void tls_failed(struct conn *conn)
{
	char why[200];

	snprintf(why, sizeof(why), "%s", tls_error(conn->tls->tls));
	conn_fail(conn, ERROR_TLS, 0, why);
}

static void shaken(struct conn *conn)
{
	struct run *run = conn->run;
	struct tls_info info;
	uint64_t took_ns = clock_ns() - conn->mark_ns;

	conn->tls->shaken = true;
	tls_info(conn->tls->tls, &info);
	if (!run->tls_info.version)
		run->tls_info = info;
	hist_add(info.resumed ? &run->stats.tls_resumed : &run->stats.tls_full, took_ns);
	conn_established(conn);
}

static void shake(struct conn *conn, struct tls_io *io)
{
	enum step result = tls_handshake(conn->tls->tls, io);

	if (result == STEP_DONE)
		shaken(conn);
	else if (result == STEP_CLOSED)
		conn_eof(conn);
	else if (result == STEP_FAILED)
		tls_failed(conn);
}

/*
 * The ticket of this connection is for the next one on this slot. Looked for before an answer is handed on,
 * whose receiver may close: a ticket serves once, and one that comes after our close_notify not at all.
 */
static void take_ticket(struct conn *conn)
{
	struct tls_ticket *ticket;

	if (!conn->run->set->resume || conn->tls->has_ticket || conn->state != CONN_OPEN)
		return;
	ticket = tls_ticket_get(conn->tls->tls);
	if (!ticket)
		return;
	tls_ticket_free(conn->ticket);
	conn->ticket = ticket;
	conn->tls->has_ticket = true;
	if (conn->run->mode->on_ticket)
		conn->run->mode->on_ticket(conn);
}

static void decrypt(struct conn *conn, struct tls_io *io)
{
	struct run *run = conn->run;
	enum step result;
	size_t n;

	do {
		result = tls_read(conn->tls->tls, io, run->plain, PLAIN_CAP, &n);
		take_ticket(conn);
		if (result == STEP_DONE)
			conn_input(conn, run->plain, n);
	} while (result == STEP_DONE && conn_is_alive(conn));
	if (result == STEP_CLOSED)
		conn_eof(conn);
	else if (result == STEP_FAILED)
		tls_failed(conn);
}

static void encrypt(struct conn *conn, struct tls_io *io)
{
	struct tls_sock *ts = conn->tls;
	enum step result = STEP_DONE;
	size_t n;

	while (ts->plain_left && io->out_len < io->out_cap && result == STEP_DONE) {
		result = tls_write(ts->tls, io, ts->plain, ts->plain_left, &n);
		ts->plain += n;
		ts->plain_left -= n;
	}
	if (result == STEP_FAILED)
		tls_failed(conn);
}

static void notify(struct conn *conn, struct tls_io *io)
{
	struct tls_sock *ts = conn->tls;

	if (ts->plain_left || conn->writing || ts->notified)
		return;
	ts->notified = true;
	if (tls_shutdown(ts->tls, io) == STEP_FAILED || !io->out_len)
		conn_shutdown(conn);
}

/* Moves what can be moved in both directions. */
static void pump(struct conn *conn)
{
	struct tls_sock *ts = conn->tls;
	struct tls_io io;

	if (io_begin(conn, &io) < 0) {
		conn_fail(conn, ERROR_IO, ENOMEM, NULL);
		return;
	}
	ts->pumping = true;
	if (!ts->shaken)
		shake(conn, &io);
	if (ts->shaken && conn_is_alive(conn))
		decrypt(conn, &io);
	if (conn_is_alive(conn))
		encrypt(conn, &io);
	if (ts->finishing && conn_is_alive(conn))
		notify(conn, &io);
	ts->pumping = false;
	io_end(conn, &io);
}

static void sock_start(struct conn *conn)
{
	struct run *run = conn->run;
	struct tls_sock *ts = calloc(1, sizeof(*ts));

	if (ts)
		ts->tls = tls_connect(run->tls_ctx, run->sni);
	conn->tls = ts;
	if (!ts || !ts->tls) {
		conn_fail(conn, ERROR_TLS, ENOMEM, NULL);
		return;
	}
	if (conn->ticket && run->set->resume)
		tls_resume(ts->tls, conn->ticket); /* a ticket that is refused costs a full handshake */
	pump(conn);
}

static void sock_send(struct conn *conn, const char *data, size_t len)
{
	conn->tls->plain = data;
	conn->tls->plain_left = len;
	if (!conn->tls->pumping && !conn->writing)
		pump(conn);
}

static void sock_written(struct conn *conn)
{
	struct tls_sock *ts = conn->tls;

	if (ts->notified && !tls_has_output(ts->tls))
		conn_shutdown(conn);
	else if (ts->plain_left || ts->finishing || conn->in_len || tls_has_output(ts->tls)) {
		pump(conn);
		return;
	}
	buf_put(conn->run, ts->buf);
	ts->buf = NULL;
}

static void sock_finish(struct conn *conn)
{
	conn->tls->finishing = true;
	if (!conn->tls->pumping && !conn->writing)
		pump(conn);
}

static void sock_stop(struct conn *conn)
{
	struct tls_sock *ts = conn->tls;

	buf_put(conn->run, ts->buf);
	if (ts->tls)
		tls_free(ts->tls);
	free(ts);
	conn->tls = NULL;
}

const struct sock sock_tls = {
	.name = "tls",
	.start = sock_start,
	.input = pump,
	.send = sock_send,
	.written = sock_written,
	.finish = sock_finish,
	.stop = sock_stop,
};
