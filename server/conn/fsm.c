/* SPDX-License-Identifier: MIT */
/*
 * The states of a connection:
 *
 *   CONNECT, PROXY
 *      ▼
 *   HANDSHAKE ──► SERVE ──► FLUSH ──► LINGER ──► CLOSING ──► freed when the last completion is in
 *       └───────────┴─────────┴──────────┴────────►┘
 *
 * Only an outgoing connection begins in CONNECT, and in PROXY one from where headers of the PROXY protocol
 * are expected; a plain one has no HANDSHAKE. HANDSHAKE goes to FLUSH if TLS fails, so that the alert is
 * still sent.
 *
 * A deadline cancels the pending operation and does nothing else; its completion (ON_CANCELLED) closes, after
 * a last answer where there is one (408, close_notify). If data won the race the connection goes on, unless
 * bytes do not postpone the deadline. Every step that leaves the connection open ends in advance(), which
 * starts what can be started and sets the deadline that now applies.
 */
#include "fsm.h"

#include "deadline.h"
#include "input.h"
#include "op.h"
#include "output.h"
#include "server/log.h"
#include "tls/tls.h"
#include "via.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

typedef void conn_step(struct conn *c, long res);

static void advance(struct conn *c);
static void served(struct conn *c, enum step step);

static const char *const state_names[] = {
	[CONN_CONNECT] = "connect", [CONN_PROXY] = "proxy", [CONN_HANDSHAKE] = "handshake",
	[CONN_SERVE] = "serve",	    [CONN_FLUSH] = "flush", [CONN_LINGER] = "linger",
	[CONN_CLOSING] = "closing",
};

const char *conn_state_name(enum conn_state state)
{
	return state_names[state];
}

/* --- ends --- */

#define WHO_LEN (ADDR_TEXT_LEN + TLS_CLIENT_NAME_LEN + 3)

/* The peer's address and the name in its certificate, for the log: "127.0.0.1:40000 (alice)". */
static const char *who(const struct conn *c, char text[WHO_LEN])
{
	char addr[ADDR_TEXT_LEN];
	struct tls_info info = {0};

	if (conn_is_tls(c))
		tls_info(c->tls.session, &info);
	addr_text(&c->peer, addr);
	if (info.client_name[0])
		snprintf(text, WHO_LEN, "%s (%s)", addr, info.client_name);
	else
		snprintf(text, WHO_LEN, "%s", addr);
	return text;
}

/* What a cancel has ended is told once a second for each reason; the level debug tells of each connection. */
static void log_end(const struct conn *c)
{
	char peer[WHO_LEN], buf[LOG_MORE_LEN];
	unsigned long long age_ms = (c->shard->now_us - c->opened_us) / 1000;
	bool by_cancel = close_reason_is_cancel((enum close_reason)c->reason);
	enum log_level level = by_cancel ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
	const char *why = close_reason_text((enum close_reason)c->reason), *more = "";

	if (!log_is_on(level))
		return;
	if (!log_is_on(LOG_LEVEL_DEBUG))
		more = log_limited(&c->shard->close_limits[c->reason], c->shard->now_us, buf);
	if (!more)
		return;
	who(c, peer);
	if (by_cancel && c->cancel_us)
		log_line(level, "%s: closed: %s (age %llu.%03llu s, io_cancel to completion %u us)%s", peer,
			 why, age_ms / 1000, age_ms % 1000, c->cancel_took_us, more);
	else
		log_line(level, "%s: closed: %s (age %llu.%03llu s)%s", peer, why, age_ms / 1000,
			 age_ms % 1000, more);
}

/* Drops the table's reference: the connection is freed once no operation is in flight. */
static void close_now(struct conn *c, enum close_reason reason)
{
	conn_set_reason(c, reason);
	c->state = CONN_CLOSING;
	deadline_clear(c);
	if (c->endpoint->service->ended)
		c->endpoint->service->ended(c->session, (enum close_reason)c->reason);
	log_end(c);
	conn_op_cancel(c, &c->rd);
	conn_op_cancel(c, &c->wr);
	conn_put(c);
}

static void flush_then_close(struct conn *c, enum close_reason reason)
{
	conn_set_reason(c, reason);
	c->state = CONN_FLUSH;
	if (c->input == INPUT_BLOCKED) /* nothing more is offered, and LINGER reads */
		c->input = INPUT_OPEN;
	advance(c);
}

/* A peer that speaks HTTP without TLS gets an HTTP response. */
static void say_plain(struct conn *c)
{
	const char *text = c->endpoint->service->plain_response;

	if (text && op_is_idle(&c->wr) && !c->tls.sent)
		conn_tls_say(&c->tls, &c->shard->blocks, text);
}

/* Input has failed and set the reason. An alert of TLS is still sent. */
static void failed(struct conn *c)
{
	char peer[WHO_LEN], buf[LOG_MORE_LEN];
	const char *more;

	if (c->reason != CLOSE_TLS) {
		close_now(c, CLOSE_ERROR);
		return;
	}
	count(&c->shard->counters, tls_failed);
	if (tls_is_untrusted(c->tls.session))
		count(&c->shard->counters, tls_client_refused);
	more = log_limited(&c->shard->tls_limit, c->shard->now_us, buf);
	if (more)
		log_info("%s: TLS: %s%s", who(c, peer), tls_error(c->tls.session), more);
	output_drop(c);
	if (c->state == CONN_HANDSHAKE && tls_is_http(c->tls.session))
		say_plain(c);
	flush_then_close(c, CLOSE_TLS);
}

/* Where a header of the PROXY protocol must come, another thing has come, or it has not. */
static void no_header(struct conn *c, enum close_reason reason, const char *why)
{
	via_refused(c, why);
	close_now(c, reason);
}

/* The peer is to see a reset, too. */
static void reset(struct conn *c, enum close_reason reason)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close_now(c, reason);
}

static bool is_reset(long err)
{
	return err == -ECONNRESET || err == -EPIPE || err == -ETIMEDOUT;
}

static void broken(struct conn *c, long res)
{
	c->err = (int)res;
	close_now(c, is_reset(res) ? CLOSE_RESET : CLOSE_ERROR);
}

/* --- deadlines, and other reasons to cancel --- */

/* What arrived too slowly ends with a response, if there is one to send. */
static void timed_out(struct conn *c, enum close_reason reason)
{
	const struct service *service = c->endpoint->service;
	enum step step = service->timeout ? service->timeout(c->session, reason, &c->out) : STEP_DONE;

	if (step == STEP_FAILED)
		close_now(c, reason);
	else
		flush_then_close(c, reason);
}

/* The cancelled operation has completed, or there was none to cancel: ends @c for the cancel's reason. */
static void cancelled(struct conn *c, long res)
{
	enum close_reason reason = c->cancel_reason;

	c->cancel_reason = CLOSE_NONE;
	switch (reason) {
	case CLOSE_HEADER:
	case CLOSE_REQUEST:
	case CLOSE_BODY_RATE:
		if (c->state == CONN_PROXY)
			no_header(c, reason, "it is not complete within header-timeout");
		else
			timed_out(c, reason);
		return;
	case CLOSE_IDLE:
	case CLOSE_CHECK:
	case CLOSE_OTHER:
	case CLOSE_LIFETIME:
		if (c->state == CONN_SERVE && conn_has_goodbye(c)) {
			flush_then_close(c, reason);
			return;
		}
		break;
	case CLOSE_NONE: /* that was not requested */
		if (c->rereads) {
			c->rereads = false;
			advance(c);
			return;
		}
		reason = CLOSE_ERROR;
		break;
	default:
		break;
	}
	close_now(c, reason);
}

/* A connection that waits only for its service has nothing to cancel. */
static void cancel_pending(struct conn *c, enum close_reason reason)
{
	struct op *op = op_is_idle(&c->wr) ? &c->rd : &c->wr;

	c->cancel_reason = (uint8_t)reason;
	if (op_is_idle(op))
		cancelled(c, 0);
	else
		conn_op_cancel(c, op);
}

static void expire(struct conn *c, long res)
{
	cancel_pending(c, (enum close_reason)res);
}

static void stop(struct conn *c, long res)
{
	deadline_clear(c);
	cancel_pending(c, CLOSE_DRAIN);
}

/* A session has asked for it: the other side of a pair has ended, say. */
static void end(struct conn *c, long res)
{
	deadline_clear(c);
	if (res == CLOSE_RESET)
		reset(c, CLOSE_OTHER);
	else if (c->cancel_reason ==
		 CLOSE_NONE) /* else it ends already, for that reason: see cancel_holds() */
		cancel_pending(c, (enum close_reason)res);
}

static void evict(struct conn *c, long res)
{
	deadline_clear(c);
	cancel_pending(c, CLOSE_EVICTED);
}

/*
 * The operation completed before its cancel. True: the reason for the cancel still applies, and @c has
 * ended.
 */
static bool cancel_holds(struct conn *c)
{
	enum close_reason reason = c->cancel_reason;

	if (reason == CLOSE_NONE || conn_op_is_cancelling(&c->rd) || conn_op_is_cancelling(&c->wr))
		return false;
	if (reason == CLOSE_EVICTED || reason == CLOSE_DRAIN || c->asked || deadline_holds(c, reason)) {
		cancelled(c, 0);
		return true;
	}
	c->cancel_reason = CLOSE_NONE;
	c->cancel_us = 0; /* it ended nothing */
	return false;
}

/* --- after each step --- */

/* Whether the peer's last bytes are not waited for. */
static bool is_abrupt(unsigned int reason)
{
	return reason == CLOSE_IDLE || reason == CLOSE_CHECK || reason == CLOSE_OTHER ||
	       reason == CLOSE_LIFETIME;
}

/* Everything is sent: ends our direction and lets the peer finish. */
static void flushed(struct conn *c)
{
	if (output_end(c)) {
		advance(c);
		return;
	}
	if (c->input == INPUT_ENDED || is_abrupt(c->reason) || shutdown(c->fd, SHUT_WR) < 0) {
		close_now(c, CLOSE_DONE);
		return;
	}
	c->state = CONN_LINGER;
	input_drop(c);
	advance(c);
}

/* Everything is sent, and nothing more will be: the peer gets to know, and may still send. */
static bool half_close(struct conn *c)
{
	if (output_end(c))
		return output_start(c) != STEP_FAILED;
	c->output = OUTPUT_ENDED;
	return shutdown(c->fd, SHUT_WR) == 0;
}

/* False: the connection is being closed, or its state has changed and it has advanced. */
static bool advance_output(struct conn *c)
{
	const struct service *service = c->endpoint->service;
	enum step step;

	if (c->state == CONN_LINGER)
		return true;
	step = output_start(c);
	if (step == STEP_DONE && c->state == CONN_FLUSH) {
		flushed(c);
		return false;
	}
	if (step == STEP_DONE && c->output == OUTPUT_ENDING && !half_close(c))
		step = STEP_FAILED;
	if (step == STEP_FAILED) {
		close_now(c, CLOSE_ERROR);
		return false;
	}
	if (service->sent && c->state == CONN_SERVE)
		service->sent(c->session, &c->out);
	return true;
}

static bool advance_input(struct conn *c)
{
	if (c->state == CONN_FLUSH || input_start(c))
		return true;
	close_now(c, CLOSE_MEMORY);
	return false;
}

static void advance(struct conn *c)
{
	if (!cancel_holds(c) && advance_output(c) && advance_input(c))
		deadline_update(c);
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
		close_now(c, CLOSE_MEMORY);
	else
		begin(c);
}

static void connect_failed(struct conn *c, long res)
{
	c->err = (int)res;
	close_now(c, CLOSE_BACKEND);
}

/* The deadline was that of the header, even if it has passed in the meantime. */
static void proxied(struct conn *c)
{
	int err = via_enter(c);

	if (err) {
		conn_refused(c->shard, &c->peer, err);
		close_now(c, CLOSE_ADDRESS);
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
		advance(c);
		return;
	default:
		if (why)
			no_header(c, CLOSE_PROXY, why);
		else
			close_now(c, CLOSE_MEMORY);
	}
}

/* One that sends nothing at all asks whether somebody listens. */
static void proxy_eof(struct conn *c, long res)
{
	if (input_is_empty(c))
		close_now(c, CLOSE_PEER);
	else
		no_header(c, CLOSE_PEER, "the connection has ended inside it");
}

/* --- HANDSHAKE --- */

static void handshake_done(struct conn *c)
{
	struct tls_info info;

	tls_info(c->tls.session, &info);
	count(&c->shard->counters, tls_handshakes);
	if (info.resumed)
		count(&c->shard->counters, tls_resumed);
	if (info.resumed && c->is_outgoing)
		count(&c->shard->counters, backend_tls_resumed);
	c->state = CONN_SERVE;
	serve_first(c);
}

static void handshake(struct conn *c)
{
	enum step step = input_handshake(c);

	c->input = step == STEP_BLOCKED ? INPUT_BLOCKED : INPUT_OPEN;
	switch (step) {
	case STEP_MORE:
	case STEP_BLOCKED:
		advance(c);
		return;
	case STEP_DONE:
		handshake_done(c);
		return;
	case STEP_CLOSED:
		close_now(c, CLOSE_PEER);
		return;
	case STEP_FAILED:
		failed(c);
		return;
	}
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
		advance(c);
}

static void handshake_eof(struct conn *c, long res)
{
	close_now(c, CLOSE_PEER);
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
		close_now(c, CLOSE_PEER);
		return;
	case STEP_BLOCKED: /* the rest of the output comes after peer_resume() */
		advance(c);
		return;
	default:
		flush_then_close(c, CLOSE_PEER);
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
		advance(c);
		return;
	case STEP_BLOCKED:
		if (!ended)
			c->input = INPUT_BLOCKED;
		advance(c);
		return;
	case STEP_DONE:
		flush_then_close(c, CLOSE_DONE);
		return;
	case STEP_CLOSED:
		end_of_input(c);
		return;
	case STEP_FAILED:
		failed(c);
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
	more = log_limited(&c->shard->tls_limit, c->shard->now_us, buf);
	if (more)
		log_info("%s: TLS: %s%s", addr_text(&c->peer, peer), why, more);
	return conn_fail(c, CLOSE_TLS);
}

static bool is_record(const struct conn *c, long res)
{
	return c->tls.kernel && res == -EIO;
}

static void serve_read_error(struct conn *c, long res)
{
	if (!is_record(c, res)) {
		broken(c, res);
		return;
	}
	switch (kernel_record(c)) {
	case STEP_FAILED:
		close_now(c, CLOSE_TLS);
		return;
	case STEP_CLOSED:
		end_of_input(c);
		return;
	default:
		advance(c);
	}
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
		advance(c);
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
	close_now(c, CLOSE_ERROR);
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
		flush_then_close(c, CLOSE_DRAIN);
	else if (step == STEP_FAILED)
		close_now(c, CLOSE_DRAIN);
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
		advance(c);
		return;
	default:
		cancelled(c, res);
	}
}

/* Input no longer counts; in FLUSH, a read that was in flight when flushing began ends here. */
static void drop_read(struct conn *c, long res)
{
	input_drop(c);
	advance(c);
}

static void flush_eof(struct conn *c, long res)
{
	c->input = INPUT_ENDED;
	advance(c);
}

static void flush_write(struct conn *c, long res)
{
	output_sent(c, (size_t)res);
	advance(c);
}

static void flush_file(struct conn *c, long res)
{
	if (file_goes_on(c, output_filled(c, (size_t)res), res))
		advance(c);
}

static void flush_file_error(struct conn *c, long res)
{
	if (file_goes_on(c, output_unfilled(c, (int)res), res))
		advance(c);
}

static void flush_read_error(struct conn *c, long res)
{
	if (!is_record(c, res)) {
		broken(c, res);
		return;
	}
	switch (kernel_record(c)) {
	case STEP_FAILED:
		close_now(c, CLOSE_TLS);
		return;
	case STEP_CLOSED:
		flush_eof(c, 0);
		return;
	default:
		advance(c);
	}
}

static void linger_eof(struct conn *c, long res)
{
	close_now(c, CLOSE_DONE);
}

static void force(struct conn *c, long res)
{
	close_now(c, CLOSE_DRAIN);
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
		[ON_FILE] = never,	      [ON_FILE_ERROR] = never,
		[ON_CANCELLED] = cancelled,   [ON_DEADLINE] = expire,	  [ON_END] = end, [ON_RESUME] = ignore,
		[ON_DRAIN] = ignore,	      [ON_STOP] = stop,		  [ON_EVICT] = evict,
	},
	[CONN_PROXY] = {
		[ON_READ] = proxy_read,	      [ON_EOF] = proxy_eof,	  [ON_READ_ERROR] = broken,
		[ON_WRITE] = never,	      [ON_WRITE_ERROR] = never,
		[ON_FILE] = never,	      [ON_FILE_ERROR] = never,
		[ON_CANCELLED] = cancelled,   [ON_DEADLINE] = expire,	  [ON_END] = end, [ON_RESUME] = ignore,
		[ON_DRAIN] = force,	      [ON_STOP] = stop,		  [ON_EVICT] = evict,
	},
	[CONN_HANDSHAKE] = {
		[ON_READ] = handshake_read,   [ON_EOF] = handshake_eof,	  [ON_READ_ERROR] = broken,
		[ON_WRITE] = handshake_write, [ON_WRITE_ERROR] = broken,
		[ON_FILE] = never,	      [ON_FILE_ERROR] = never,
		[ON_CANCELLED] = cancelled,   [ON_DEADLINE] = expire,	  [ON_END] = end, [ON_RESUME] = ignore,
		[ON_DRAIN] = force,	      [ON_STOP] = stop,		  [ON_EVICT] = evict,
	},
	[CONN_SERVE] = {
		[ON_READ] = serve_read,	      [ON_EOF] = serve_eof,	  [ON_READ_ERROR] = serve_read_error,
		[ON_WRITE] = serve_write,     [ON_WRITE_ERROR] = broken,
		[ON_FILE] = serve_file,	      [ON_FILE_ERROR] = serve_file_error,
		[ON_CANCELLED] = cancelled,   [ON_DEADLINE] = expire,	  [ON_END] = end, [ON_RESUME] = serve_resume,
		[ON_DRAIN] = serve_drain,     [ON_STOP] = stop,		  [ON_EVICT] = evict,
	},
	[CONN_FLUSH] = {
		[ON_READ] = drop_read,	      [ON_EOF] = flush_eof,	  [ON_READ_ERROR] = flush_read_error,
		[ON_WRITE] = flush_write,     [ON_WRITE_ERROR] = broken,
		[ON_FILE] = flush_file,	      [ON_FILE_ERROR] = flush_file_error,
		[ON_CANCELLED] = flush_cancelled, [ON_DEADLINE] = expire,	  [ON_END] = end, [ON_RESUME] = ignore,
		[ON_DRAIN] = ignore,	      [ON_STOP] = stop,		  [ON_EVICT] = evict,
	},
	[CONN_LINGER] = {
		[ON_READ] = drop_read,	      [ON_EOF] = linger_eof,	  [ON_READ_ERROR] = linger_eof,
		[ON_WRITE] = never,	      [ON_WRITE_ERROR] = never,
		[ON_FILE] = never,	      [ON_FILE_ERROR] = never,
		[ON_CANCELLED] = cancelled,   [ON_DEADLINE] = expire,	  [ON_END] = end, [ON_RESUME] = ignore,
		[ON_DRAIN] = ignore,	      [ON_STOP] = stop,		  [ON_EVICT] = evict,
	},
	[CONN_CLOSING] = {
		[ON_READ] = ignore,	      [ON_EOF] = ignore,	  [ON_READ_ERROR] = ignore,
		[ON_WRITE] = ignore,	      [ON_WRITE_ERROR] = ignore,
		[ON_FILE] = ignore,	      [ON_FILE_ERROR] = ignore,
		[ON_CANCELLED] = ignore,      [ON_DEADLINE] = never,	  [ON_END] = ignore, [ON_RESUME] = ignore,
		[ON_DRAIN] = ignore,	      [ON_STOP] = ignore,	  [ON_EVICT] = ignore,
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
		advance(c);
	}
}
