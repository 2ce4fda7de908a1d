/* SPDX-License-Identifier: MIT */
/*
 * The states of a connection:
 *
 *   CONNECT, PROXY
 *      ▼
 *   HANDSHAKE ──► SERVE ──► FLUSH ──► LINGER ──► CLOSING ──► freed when the last completion is in
 *       ▲ └─────────┴─────────┴──────────┴────────►┘
 *       ▼                                          │
 *      AWAY ──────────────────────────────────────►┘
 *
 * Only an outgoing connection begins in CONNECT, and in PROXY one from where headers of the PROXY protocol
 * are expected; a plain one has no HANDSHAKE. HANDSHAKE goes to FLUSH if TLS fails, so that the alert is
 * still sent. With handshake-threads each of its steps that has input is made in AWAY, by a thread; whatever
 * ends the connection meanwhile does so at once, and what the thread has is freed when it comes back.
 *
 * A deadline cancels the pending operation and does nothing else; its completion (ON_CANCELLED) closes, after
 * a last answer where there is one (408, close_notify). If data won the race the connection goes on, unless
 * bytes do not postpone the deadline. Every step that leaves the connection open ends in conn_advance(),
 * which starts what can be started and sets the deadline that now applies.
 */
#include "fsm.h"

#include "advance.h"
#include "deadline.h"
#include "input.h"
#include "op.h"
#include "output.h"
#include "server/log.h"
#include "server/probes.h"
#include "shake.h"
#include "tls/tls.h"
#include "via.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

typedef void conn_step(struct conn *c, long res);

static void served(struct conn *c, enum step step);

static const char *const state_names[] = {
	[CONN_CONNECT] = "connect", [CONN_PROXY] = "proxy",	[CONN_HANDSHAKE] = "handshake",
	[CONN_AWAY] = "away",	    [CONN_SERVE] = "serve",	[CONN_FLUSH] = "flush",
	[CONN_LINGER] = "linger",   [CONN_CLOSING] = "closing",
};

const char *conn_state_name(enum conn_state state)
{
	return state_names[state];
}

/* --- CONNECT, PROXY --- */

static void handshake(struct conn *c);
static void serve_first(struct conn *c);

/* What goes ahead of everything is over. */
static void begin(struct conn *c)
{
	if (conn_is_tls(c)) {
		c->state = CONN_HANDSHAKE;
		handshake(c);
	} else {
		c->state = CONN_SERVE;
		serve_first(c);
	}
}

static int send_preface(struct conn *c)
{
	const struct service *service = c->endpoint->service;
	char text[SERVICE_PREFACE_MAX];
	size_t len = service->preface ? service->preface(c->session, text) : 0;

	if (conn_is_tls(c))
		return conn_tls_preface(&c->tls, &c->shard->blocks, text, len);
	return outq_append(&c->out, text, len);
}

static void connected(struct conn *c, long res)
{
	if (send_preface(c))
		conn_end(c, CLOSE_MEMORY);
	else
		begin(c);
}

static void connect_failed(struct conn *c, long res)
{
	c->err = (int)res;
	conn_end(c, CLOSE_BACKEND);
}

/* The deadline was that of the header, even if it has passed in the meantime. */
static void proxied(struct conn *c)
{
	int err = via_enter(c);

	if (err) {
		conn_refused(c->shard, c->tally, &c->peer, err);
		conn_end(c, CLOSE_ADDRESS);
		return;
	}
	deadline_clear(c);
	if (c->cancel_reason == CLOSE_HEADER) {
		c->cancel_reason = CLOSE_NONE;
		c->cancel_us = 0;
	}
	begin(c);
}

static void proxy_read(struct conn *c, long res)
{
	const char *why;

	input_received(c, (size_t)res);
	switch (via_read(c, &why)) {
	case STEP_DONE:
		proxied(c);
		return;
	case STEP_MORE:
		conn_advance(c);
		return;
	default:
		if (why)
			conn_no_header(c, CLOSE_PROXY, why);
		else
			conn_end(c, CLOSE_MEMORY);
	}
}

/* One that sends nothing at all asks whether somebody listens. */
static void proxy_eof(struct conn *c, long res)
{
	if (input_is_empty(c))
		conn_end(c, CLOSE_PEER);
	else
		conn_no_header(c, CLOSE_PEER, "the connection has ended inside it");
}

/* --- HANDSHAKE --- */

static void handshake_done(struct conn *c)
{
	const char *staple = tls_missed_staple(c->tls.session);
	struct tls_info info;

	if (staple)
		log_warning("%s: the OCSP response has expired and is no longer sent", staple);
	tls_info(c->tls.session, &info);
	count(&c->shard->counters, tls_handshakes);
	tally_count(c->tally, tls_handshakes);
	if (info.resumed) {
		count(&c->shard->counters, tls_resumed);
		tally_count(c->tally, tls_resumed);
	}
	if (info.resumed && c->is_outgoing)
		count(&c->shard->counters, backend_tls_resumed);
	probe4(handshake_done, c, c->fd, info.resumed, c->is_outgoing);
	c->tls.is_established = true;
	c->state = CONN_SERVE;
	serve_first(c);
}

/* Acts on the result of a step of the handshake. */
static void shaken(struct conn *c, enum step step)
{
	c->input = step == STEP_BLOCKED ? INPUT_BLOCKED : INPUT_OPEN;
	switch (step) {
	case STEP_MORE:
	case STEP_BLOCKED:
		conn_advance(c);
		return;
	case STEP_DONE:
		handshake_done(c);
		return;
	case STEP_CLOSED:
		conn_end(c, CLOSE_PEER);
		return;
	case STEP_FAILED:
		conn_failed(c);
		return;
	}
}

/* A thread appends to what waits to be sent: if that is on its way, its completion comes here again. */
static void hand_over(struct conn *c)
{
	if (!op_is_idle(&c->wr)) {
		c->input = INPUT_BLOCKED;
	} else if (shake_start(c)) {
		c->state = CONN_AWAY;
	} else {
		conn_end(c, CLOSE_MEMORY);
		return;
	}
	conn_advance(c);
}

static void handshake(struct conn *c)
{
	/* It may take more than most: a ClientHello may announce 128 KiB. */
	if (conn_is_oversized(c)) {
		conn_end(c, CLOSE_MEMORY);
		return;
	}
	if (shake_is_wanted(c))
		hand_over(c);
	else
		shaken(c, input_handshake(c));
}

static void handshake_read(struct conn *c, long res)
{
	input_received(c, (size_t)res);
	handshake(c);
}

static void handshake_write(struct conn *c, long res)
{
	output_sent(c, (size_t)res);
	if (c->input == INPUT_BLOCKED)
		handshake(c);
	else
		conn_advance(c);
}

static void handshake_eof(struct conn *c, long res)
{
	conn_end(c, CLOSE_PEER);
}

/* --- AWAY --- */

static void back(struct conn *c, long res)
{
	c->state = CONN_HANDSHAKE;
	shaken(c, res == STEP_FAILED ? conn_fail_tls(c) : (enum step)res);
}

/* --- SERVE --- */

/* The session sees that it has begun, before it sees what has been read with what went ahead. */
static void serve_first(struct conn *c)
{
	served(c, input_begin(c));
}

static void end_of_input(struct conn *c)
{
	c->input = INPUT_ENDED;
	switch (c->endpoint->service->eof(c->session, input_left(c), &c->out)) {
	case STEP_FAILED:
		conn_end(c, CLOSE_PEER);
		return;
	case STEP_BLOCKED: /* the rest of the output comes after peer_resume() */
		conn_advance(c);
		return;
	default:
		conn_flush(c, CLOSE_PEER);
	}
}

/* Acts on the service's result. */
static void served(struct conn *c, enum step step)
{
	bool ended = c->input == INPUT_ENDED;

	switch (step) {
	case STEP_MORE:
		if (ended) {
			end_of_input(c);
			return;
		}
		c->input = INPUT_OPEN;
		conn_advance(c);
		return;
	case STEP_BLOCKED:
		if (!ended)
			c->input = INPUT_BLOCKED;
		conn_advance(c);
		return;
	case STEP_DONE:
		conn_flush(c, CLOSE_DONE);
		return;
	case STEP_CLOSED:
		end_of_input(c);
		return;
	case STEP_FAILED:
		conn_failed(c);
		return;
	}
}

static void serve(struct conn *c)
{
	served(c, input_feed(c));
}

static void serve_read(struct conn *c, long res)
{
	input_received(c, (size_t)res);
	serve(c);
}

static void serve_eof(struct conn *c, long res)
{
	end_of_input(c);
}

/* The kernel, which has the session, reads no further: what is next is not data. */
static enum step kernel_record(struct conn *c)
{
	char peer[ADDR_TEXT_LEN], buf[LOG_MORE_LEN];
	const char *more, *why;
	enum step step = tls_kernel_record(c->tls.kernel, c->fd, &why);

	if (step != STEP_FAILED)
		return step;
	count(&c->shard->counters, tls_failed);
	tally_count(c->tally, tls_failed);
	more = log_limited(&c->shard->tls_limit, c->shard->now_us, buf);
	if (more)
		log_info("%s: TLS: %s%s", addr_text(&c->peer, peer), why, more);
	return conn_fail(c, CLOSE_TLS);
}

/* A read has failed; where the kernel has the session perhaps for such a record. @closed: it was
 * close_notify. */
static void read_error(struct conn *c, long res, conn_step *closed)
{
	if (!c->tls.kernel || res != -EIO) {
		conn_broken(c, res);
		return;
	}
	switch (kernel_record(c)) {
	case STEP_FAILED:
		conn_end(c, CLOSE_TLS);
		return;
	case STEP_CLOSED:
		closed(c, 0);
		return;
	default:
		conn_advance(c);
	}
}

static void serve_read_error(struct conn *c, long res)
{
	read_error(c, res, serve_eof);
}

static void serve_resume(struct conn *c, long res)
{
	served(c, input_resume(c));
}

/* Output has moved: there may be room for more. */
static void serve_on(struct conn *c)
{
	if (c->input != INPUT_OPEN && c->out.nbytes < OUTQ_HIGH)
		serve(c);
	else
		conn_advance(c);
}

static void serve_write(struct conn *c, long res)
{
	output_sent(c, (size_t)res);
	serve_on(c);
}

/*
 * Whether output goes on after the read of a file. If not, the head promised what the file no longer has, and
 * the peer must see that the response is incomplete.
 */
static bool file_goes_on(struct conn *c, enum step step, long res)
{
	struct shard *shard = c->shard;
	char peer[ADDR_TEXT_LEN], buf[LOG_MORE_LEN];
	const char *more = NULL;

	if (step == STEP_DONE)
		return true;
	if (step == STEP_BLOCKED)
		more = log_limited(res < 0 ? &shard->read_limit : &shard->short_limit, shard->now_us, buf);
	if (more)
		log_warning("%s: cannot send the rest of %s: %s%s", addr_text(&c->peer, peer), output_file(c),
			    res < 0 ? strerror((int)-res) : "the file has changed", more);
	conn_end(c, CLOSE_ERROR);
	return false;
}

static void serve_file(struct conn *c, long res)
{
	if (file_goes_on(c, output_filled(c, (size_t)res), res))
		serve_on(c);
}

static void serve_file_error(struct conn *c, long res)
{
	if (file_goes_on(c, output_unfilled(c, (int)res), res))
		serve_on(c);
}

static void serve_drain(struct conn *c, long res)
{
	const struct service *service = c->endpoint->service;
	enum step step = service->drain ? service->drain(c->session) : STEP_DONE;

	if (step == STEP_DONE)
		conn_flush(c, CLOSE_DRAIN);
	else if (step == STEP_FAILED)
		conn_end(c, CLOSE_DRAIN);
}

/* --- FLUSH, LINGER, CLOSING --- */

/* An operation cancelled for the sake of input, before flushing began, is no reason to stop. */
static void flush_cancelled(struct conn *c, long res)
{
	switch (c->cancel_reason) {
	case CLOSE_HEADER:
	case CLOSE_REQUEST:
	case CLOSE_BODY_RATE:
	case CLOSE_IDLE:
		c->cancel_reason = CLOSE_NONE;
		conn_advance(c);
		return;
	default:
		conn_cancelled(c, res);
	}
}

/* Input no longer counts; in FLUSH, a read that was in flight when flushing began ends here. */
static void drop_read(struct conn *c, long res)
{
	input_drop(c);
	conn_advance(c);
}

static void flush_eof(struct conn *c, long res)
{
	c->input = INPUT_ENDED;
	conn_advance(c);
}

static void flush_write(struct conn *c, long res)
{
	output_sent(c, (size_t)res);
	conn_advance(c);
}

static void flush_file(struct conn *c, long res)
{
	if (file_goes_on(c, output_filled(c, (size_t)res), res))
		conn_advance(c);
}

static void flush_file_error(struct conn *c, long res)
{
	if (file_goes_on(c, output_unfilled(c, (int)res), res))
		conn_advance(c);
}

static void flush_read_error(struct conn *c, long res)
{
	read_error(c, res, flush_eof);
}

static void room(struct conn *c, long res)
{
	conn_advance(c);
}

static void linger_eof(struct conn *c, long res)
{
	conn_end(c, CLOSE_DONE);
}

static void force(struct conn *c, long res)
{
	conn_end(c, CLOSE_DRAIN);
}

/* A client still needs its backend: it drains by itself. */
static void handshake_drain(struct conn *c, long res)
{
	if (!c->is_outgoing)
		force(c, res);
}

static void ignore(struct conn *c, long res) {}

/*
 * Cannot happen: no write is in flight in PROXY and LINGER, no deadline in CLOSING, no session has begun
 * before SERVE.
 */
static void never(struct conn *c, long res)
{
	assert(!"event in a state that excludes it");
}

// clang-format off
static conn_step *const steps[CONN_NSTATES][CONN_NEVENTS] = {
	[CONN_CONNECT] = {
		[ON_READ] = never,	      [ON_EOF] = never,		  [ON_READ_ERROR] = never,
		[ON_WRITE] = connected,	      [ON_WRITE_ERROR] = connect_failed,
		[ON_ROOM] = never, [ON_FILE] = never,	      [ON_FILE_ERROR] = never,
		[ON_CANCELLED] = conn_cancelled,   [ON_DEADLINE] = conn_expire,	  [ON_END] = conn_end_asked, [ON_RESUME] = ignore,
		[ON_DRAIN] = ignore,	      [ON_STOP] = conn_stop,		  [ON_EVICT] = conn_evict, [ON_BACK] = never,
	},
	[CONN_PROXY] = {
		[ON_READ] = proxy_read,	      [ON_EOF] = proxy_eof,	  [ON_READ_ERROR] = conn_broken,
		[ON_WRITE] = never,	      [ON_WRITE_ERROR] = never,
		[ON_ROOM] = never, [ON_FILE] = never,	      [ON_FILE_ERROR] = never,
		[ON_CANCELLED] = conn_cancelled,   [ON_DEADLINE] = conn_expire,	  [ON_END] = conn_end_asked, [ON_RESUME] = ignore,
		[ON_DRAIN] = force,	      [ON_STOP] = conn_stop,		  [ON_EVICT] = conn_evict, [ON_BACK] = never,
	},
	[CONN_HANDSHAKE] = {
		[ON_READ] = handshake_read,   [ON_EOF] = handshake_eof,	  [ON_READ_ERROR] = conn_broken,
		[ON_WRITE] = handshake_write, [ON_WRITE_ERROR] = conn_broken,
		[ON_ROOM] = never, [ON_FILE] = never,	      [ON_FILE_ERROR] = never,
		[ON_CANCELLED] = conn_cancelled,   [ON_DEADLINE] = conn_expire,	  [ON_END] = conn_end_asked, [ON_RESUME] = ignore,
		[ON_DRAIN] = handshake_drain,	      [ON_STOP] = conn_stop,		  [ON_EVICT] = conn_evict, [ON_BACK] = never,
	},
	[CONN_AWAY] = {
		[ON_READ] = never,	      [ON_EOF] = never,		  [ON_READ_ERROR] = never,
		[ON_WRITE] = never,	      [ON_WRITE_ERROR] = never,
		[ON_ROOM] = never, [ON_FILE] = never,	      [ON_FILE_ERROR] = never,
		[ON_CANCELLED] = never,	      [ON_DEADLINE] = conn_expire,	  [ON_END] = conn_end_asked, [ON_RESUME] = ignore,
		[ON_DRAIN] = handshake_drain,	      [ON_STOP] = conn_stop,		  [ON_EVICT] = conn_evict, [ON_BACK] = back,
	},
	[CONN_SERVE] = {
		[ON_READ] = serve_read,	      [ON_EOF] = serve_eof,	  [ON_READ_ERROR] = serve_read_error,
		[ON_WRITE] = serve_write,     [ON_WRITE_ERROR] = conn_broken,
		[ON_ROOM] = room, [ON_FILE] = serve_file,	      [ON_FILE_ERROR] = serve_file_error,
		[ON_CANCELLED] = conn_cancelled,   [ON_DEADLINE] = conn_expire,	  [ON_END] = conn_end_asked, [ON_RESUME] = serve_resume,
		[ON_DRAIN] = serve_drain,     [ON_STOP] = conn_stop,		  [ON_EVICT] = conn_evict, [ON_BACK] = never,
	},
	[CONN_FLUSH] = {
		[ON_READ] = drop_read,	      [ON_EOF] = flush_eof,	  [ON_READ_ERROR] = flush_read_error,
		[ON_WRITE] = flush_write,     [ON_WRITE_ERROR] = conn_broken,
		[ON_ROOM] = room, [ON_FILE] = flush_file,	      [ON_FILE_ERROR] = flush_file_error,
		[ON_CANCELLED] = flush_cancelled, [ON_DEADLINE] = conn_expire,	  [ON_END] = conn_end_asked, [ON_RESUME] = ignore,
		[ON_DRAIN] = ignore,	      [ON_STOP] = conn_stop,		  [ON_EVICT] = conn_evict, [ON_BACK] = never,
	},
	[CONN_LINGER] = {
		[ON_READ] = drop_read,	      [ON_EOF] = linger_eof,	  [ON_READ_ERROR] = linger_eof,
		[ON_WRITE] = never,	      [ON_WRITE_ERROR] = never,
		[ON_ROOM] = never, [ON_FILE] = never,	      [ON_FILE_ERROR] = never,
		[ON_CANCELLED] = conn_cancelled,   [ON_DEADLINE] = conn_expire,	  [ON_END] = conn_end_asked, [ON_RESUME] = ignore,
		[ON_DRAIN] = ignore,	      [ON_STOP] = conn_stop,		  [ON_EVICT] = conn_evict, [ON_BACK] = never,
	},
	[CONN_CLOSING] = {
		[ON_READ] = ignore,	      [ON_EOF] = ignore,	  [ON_READ_ERROR] = ignore,
		[ON_WRITE] = ignore,	      [ON_WRITE_ERROR] = ignore,
		[ON_ROOM] = ignore, [ON_FILE] = ignore,	      [ON_FILE_ERROR] = ignore,
		[ON_CANCELLED] = ignore,      [ON_DEADLINE] = never,	  [ON_END] = ignore, [ON_RESUME] = ignore,
		[ON_DRAIN] = ignore,	      [ON_STOP] = ignore,	  [ON_EVICT] = ignore, [ON_BACK] = ignore,
	},
};
// clang-format on

bool conn_fsm_has(enum conn_state state, enum conn_event event)
{
	return steps[state][event] != NULL;
}

void conn_fsm(struct conn *c, enum conn_event event, long res)
{
	conn_check(c);
	steps[c->state][event](c, res);
}

void conn_fsm_start(struct conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_CONNECT:
		conn_op_connect(c);
		deadline_update(c);
		return;
	case CONN_SERVE:
		serve_first(c);
		return;
	default:
		conn_advance(c);
	}
}
