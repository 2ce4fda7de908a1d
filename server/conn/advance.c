/* SPDX-License-Identifier: MIT */
#include "advance.h"

#include "access.h"
#include "deadline.h"
#include "input.h"
#include "op.h"
#include "output.h"
#include "server/log.h"
#include "shake.h"
#include "tls/tls.h"
#include "via.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

/* --- ends --- */

#define WHO_LEN (ADDR_TEXT_LEN + TLS_CLIENT_NAME_LEN + 3)

/* The peer's address and the name in its certificate, for the log: "127.0.0.1:40000 (alice)". */
static const char *who(const struct conn *c, char text[WHO_LEN])
{
	char addr[ADDR_TEXT_LEN];
	struct tls_info info = {0};

	if (conn_is_tls(c) && !c->shake)
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

void conn_end(struct conn *c, enum close_reason reason)
{
	conn_set_reason(c, reason);
	c->state = CONN_CLOSING;
	deadline_clear(c);
	conn_access_end(c);
	if (c->endpoint->service->ended)
		c->endpoint->service->ended(c->session, (enum close_reason)c->reason);
	log_end(c);
	conn_op_cancel(c, &c->rd);
	conn_op_cancel(c, &c->wr);
	shake_cancel(c);
	conn_put(c);
}

void conn_flush(struct conn *c, enum close_reason reason)
{
	conn_set_reason(c, reason);
	c->state = CONN_FLUSH;
	if (c->input == INPUT_BLOCKED) /* nothing more is offered, and LINGER reads */
		c->input = INPUT_OPEN;
	conn_advance(c);
}

/* A peer that speaks HTTP without TLS gets an HTTP response. */
static void say_plain(struct conn *c)
{
	const char *text = c->endpoint->service->plain_response;

	if (text && op_is_idle(&c->wr) && !c->tls.sent)
		conn_tls_say(&c->tls, &c->shard->blocks, text);
}

void conn_failed(struct conn *c)
{
	char peer[WHO_LEN], buf[LOG_MORE_LEN];
	const char *more;

	if (c->reason != CLOSE_TLS) {
		conn_end(c, CLOSE_ERROR);
		return;
	}
	count(&c->shard->counters, tls_failed);
	tally_count(c->tally, tls_failed);
	if (tls_is_untrusted(c->tls.session))
		count(&c->shard->counters, tls_client_refused);
	more = log_limited(&c->shard->tls_limit, c->shard->now_us, buf);
	if (more)
		log_info("%s: TLS: %s%s", who(c, peer), tls_error(c->tls.session), more);
	output_drop(c);
	if (c->state == CONN_HANDSHAKE && tls_is_http(c->tls.session))
		say_plain(c);
	conn_flush(c, CLOSE_TLS);
}

void conn_no_header(struct conn *c, enum close_reason reason, const char *why)
{
	via_refused(c, why);
	conn_end(c, reason);
}

/* The peer is to see a reset, too. */
static void reset(struct conn *c, enum close_reason reason)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	conn_end(c, reason);
}

static bool is_reset(long err)
{
	return err == -ECONNRESET || err == -EPIPE || err == -ETIMEDOUT;
}

void conn_broken(struct conn *c, long res)
{
	c->err = (int)res;
	conn_end(c, is_reset(res) ? CLOSE_RESET : CLOSE_ERROR);
}

/* --- deadlines, and other reasons to cancel --- */

/* What arrived too slowly ends with a response, if there is one to send. */
static void timed_out(struct conn *c, enum close_reason reason)
{
	const struct service *service = c->endpoint->service;
	enum step step = service->timeout ? service->timeout(c->session, reason, &c->out) : STEP_DONE;

	if (step == STEP_FAILED)
		conn_end(c, reason);
	else
		conn_flush(c, reason);
}

void conn_cancelled(struct conn *c, long res)
{
	enum close_reason reason = c->cancel_reason;

	/* A read that begins again: what else was cancelled meanwhile is judged by its own reason. */
	if (c->rereads && op_is_idle(&c->rd)) {
		c->rereads = false;
		conn_advance(c);
		return;
	}
	c->cancel_reason = CLOSE_NONE;
	switch (reason) {
	case CLOSE_HEADER:
	case CLOSE_REQUEST:
	case CLOSE_BODY_RATE:
		if (c->state == CONN_PROXY)
			conn_no_header(c, reason, "it is not complete within header-timeout");
		else
			timed_out(c, reason);
		return;
	case CLOSE_IDLE:
	case CLOSE_CHECK:
	case CLOSE_OTHER:
	case CLOSE_LIFETIME:
		/* What ends for its memory does not keep that until its peer has read. */
		if (c->state == CONN_SERVE && conn_has_goodbye(c) && c->reason != CLOSE_MEMORY) {
			conn_flush(c, reason);
			return;
		}
		break;
	case CLOSE_NONE: /* that was not requested */
		reason = CLOSE_ERROR;
		break;
	default:
		break;
	}
	conn_end(c, reason);
}

/* A connection that waits only for its service, or for a thread, has nothing to cancel. */
static void cancel_pending(struct conn *c, enum close_reason reason)
{
	struct op *op = op_is_idle(&c->wr) ? &c->rd : &c->wr;

	c->cancel_reason = (uint8_t)reason;
	if (op_is_idle(op))
		conn_cancelled(c, 0);
	else
		conn_op_cancel(c, op);
}

void conn_expire(struct conn *c, long res)
{
	cancel_pending(c, (enum close_reason)res);
}

void conn_stop(struct conn *c, long res)
{
	deadline_clear(c);
	cancel_pending(c, CLOSE_DRAIN);
}

/* A session has asked for it: the other side of a pair has ended, say. */
void conn_end_asked(struct conn *c, long res)
{
	deadline_clear(c);
	if (res == CLOSE_RESET)
		reset(c, CLOSE_OTHER);
	else if (c->cancel_reason ==
		 CLOSE_NONE) /* else it ends already, for that reason: see cancel_holds() */
		cancel_pending(c, (enum close_reason)res);
}

void conn_evict(struct conn *c, long res)
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
		conn_cancelled(c, 0);
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

/*
 * Ends our direction of the stream. Not where the kernel has the session: it may hold the last record still,
 * which would come behind the end of the stream, and be lost; close_notify is the end there.
 */
static bool end_stream(struct conn *c)
{
	return c->tls.kernel || shutdown(c->fd, SHUT_WR) == 0;
}

/* Everything is sent: ends our direction and lets the peer finish. */
static void flushed(struct conn *c)
{
	if (output_end(c)) {
		conn_advance(c);
		return;
	}
	if (c->input == INPUT_ENDED || is_abrupt(c->reason) || !end_stream(c)) {
		conn_end(c, CLOSE_DONE);
		return;
	}
	c->state = CONN_LINGER;
	input_drop(c);
	conn_advance(c);
}

/* Everything is sent, and nothing more will be: the peer gets to know, and may still send. */
static bool half_close(struct conn *c)
{
	if (output_end(c))
		return output_start(c) != STEP_FAILED;
	c->output = OUTPUT_ENDED;
	if (end_stream(c))
		return true;
	/* Nothing was read, which would have told of it. */
	if (errno == ENOTCONN)
		conn_set_reason(c, CLOSE_RESET);
	return false;
}

/* False: the connection is being closed, or its state has changed and it has advanced. */
static bool advance_output(struct conn *c)
{
	const struct service *service = c->endpoint->service;
	enum step step;

	if (c->state == CONN_LINGER || c->state == CONN_AWAY)
		return true;
	step = output_start(c);
	if (step == STEP_DONE && c->state == CONN_FLUSH) {
		flushed(c);
		return false;
	}
	if (step == STEP_DONE && c->output == OUTPUT_ENDING && !half_close(c))
		step = STEP_FAILED;
	if (step == STEP_FAILED) {
		conn_end(c, CLOSE_ERROR);
		return false;
	}
	if (service->sent && c->state == CONN_SERVE)
		service->sent(c->session, &c->out);
	return true;
}

static bool advance_input(struct conn *c)
{
	if (c->state == CONN_FLUSH || c->state == CONN_AWAY || input_start(c))
		return true;
	conn_end(c, CLOSE_MEMORY);
	return false;
}

void conn_advance(struct conn *c)
{
	conn_access_sent(c);
	if (!cancel_holds(c) && advance_output(c) && advance_input(c))
		deadline_update(c);
}
