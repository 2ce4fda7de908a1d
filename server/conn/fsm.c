/* SPDX-License-Identifier: MIT */
/*
 * The states of a connection:
 *
 *   SHAKE ──► SERVE ──► FLUSH ──► LINGER ──► CLOSING ──► freed when the last completion is in
 *     └─────────┴─────────┴──────────┴────────►┘
 *
 * A deadline cancels the pending operation and does nothing else; the completion (EV_GONE) closes. If data
 * won the race the connection goes on, unless the deadline is of a kind that bytes do not postpone.
 * Every step ends in pump(), which starts what can be started and arms the deadline that now counts.
 */
#include "fsm.h"

#include "deadline.h"
#include "op.h"
#include "output.h"
#include "server/log.h"
#include "server/settings.h"

#include <errno.h>
#include <sys/socket.h>

typedef void conn_step(struct conn *c, long res);

static void serve(struct conn *c);
static void pump(struct conn *c);

static const char *const state_names[] = {
	[CONN_SHAKE] = "shake",	  [CONN_SERVE] = "serve",     [CONN_FLUSH] = "flush",
	[CONN_LINGER] = "linger", [CONN_CLOSING] = "closing",
};

const char *conn_state_name(enum conn_state state)
{
	return state_names[state];
}

/* --- ends --- */

static void log_end(const struct conn *c)
{
	char peer[ADDR_TEXT_LEN];
	uint64_t age_us = c->shard->now_us - c->opened_us;
	bool by_cancel = c->why >= CLOSE_HANDSHAKE && c->why <= CLOSE_EVICTED && c->cancel_us;
	enum log_level level = by_cancel ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;

	if (level > log_level)
		return;
	addr_text(&c->peer, peer);
	if (by_cancel)
		log_line(level, "%s: closed: %s (age %llu.%03llu s, io_cancel to completion %u us)", peer,
			 conn_why_text(c->why), (unsigned long long)(age_us / 1000000),
			 (unsigned long long)(age_us / 1000 % 1000), c->cancel_took_us);
	else
		log_line(level, "%s: closed: %s (age %llu.%03llu s)", peer, conn_why_text(c->why),
			 (unsigned long long)(age_us / 1000000), (unsigned long long)(age_us / 1000 % 1000));
}

/* Gives up the table's reference: freed when no operation is in flight any more. */
static void close_now(struct conn *c, enum close_reason why)
{
	conn_because(c, why);
	c->state = CONN_CLOSING;
	idle_arm(c, DEADLINE_NONE);
	log_end(c);
	io_cancel_op(c, &c->rd);
	io_cancel_op(c, &c->wr);
	conn_put(c);
}

static void flush_then_close(struct conn *c, enum close_reason why)
{
	conn_because(c, why);
	c->state = CONN_FLUSH;
	c->stuck = false; /* nothing is fed any more, and LINGER reads */
	pump(c);
}

static void tls_broken(struct conn *c)
{
	char peer[ADDR_TEXT_LEN];

	count(&c->shard->counters, tls_failed);
	log_info("%s: TLS: %s", addr_text(&c->peer, peer), tls_error(c->tls));
	c->closing_tls = true; /* the alert is the last record */
	out_drop(c);
	flush_then_close(c, CLOSE_TLS);
}

static bool is_reset(long err)
{
	return err == -ECONNRESET || err == -EPIPE || err == -ETIMEDOUT;
}

static void broken(struct conn *c, long res)
{
	close_now(c, is_reset(res) ? CLOSE_RESET : CLOSE_ERROR);
}

/* --- what goes on after each step --- */

/* All is sent: say so to the peer, and let it finish. */
static void flushed(struct conn *c)
{
	if (out_close_tls(c)) {
		pump(c);
		return;
	}
	if (c->eof || c->why == CLOSE_IDLE || shutdown(c->fd, SHUT_WR) < 0) {
		close_now(c, CLOSE_DONE);
		return;
	}
	c->state = CONN_LINGER;
	c->in.len = 0;
	pump(c);
}

/* False: the connection is being closed, or its state has changed and it was pumped. */
static bool pump_output(struct conn *c)
{
	struct out_op op;

	if (c->wr.in_flight || c->state == CONN_LINGER)
		return true;
	switch (out_next(c, &op)) {
	case OUT_WRITE:
		io_write(c, op.data, op.len);
		idle_arm(c, DEADLINE_WRITE);
		return true;
	case OUT_READ_FILE:
		io_read_file(c, op.afd, op.data, op.len, op.offset);
		return true;
	case OUT_NOTHING:
		if (c->state != CONN_FLUSH)
			return true;
		flushed(c);
		return false;
	case OUT_NO_MEMORY:
		close_now(c, CLOSE_MEMORY);
		return false;
	case OUT_TLS_FAILED:
		break;
	}
	close_now(c, CLOSE_TLS);
	return false;
}

static bool pump_input(struct conn *c)
{
	char *data;
	size_t len;

	if (c->rd.in_flight || c->stuck || c->eof || c->state == CONN_FLUSH)
		return true;
	if (!conn_read_room(c, &data, &len)) {
		close_now(c, CLOSE_MEMORY);
		return false;
	}
	io_read(c, data, len);
	return true;
}

static void pump_deadline(struct conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_SHAKE:
		idle_keep(c, DEADLINE_HANDSHAKE);
		return;
	case CONN_SERVE:
		if (c->wr.in_flight)
			idle_keep(c, DEADLINE_WRITE);
		else if (c->endpoint->service->phase(c->session) == PHASE_HEAD)
			idle_keep(c, DEADLINE_HEADER);
		else if (c->progress)
			idle_arm(c, DEADLINE_IDLE);
		else /* a piece of a TLS record, or a record without data */
			idle_keep(c, DEADLINE_IDLE);
		return;
	case CONN_FLUSH:
		idle_keep(c, DEADLINE_WRITE);
		return;
	case CONN_LINGER:
		idle_keep(c, DEADLINE_LINGER);
		return;
	case CONN_CLOSING:
	case CONN_NSTATES:
		break;
	}
}

static void pump(struct conn *c)
{
	if (pump_output(c) && pump_input(c))
		pump_deadline(c);
}

/* --- timeouts --- */

static enum close_reason why_of(const struct conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_SHAKE:
		return CLOSE_HANDSHAKE;
	case CONN_SERVE:
		if (c->wr.in_flight)
			return CLOSE_WRITE;
		return c->endpoint->service->phase(c->session) == PHASE_HEAD ? CLOSE_HEADER : CLOSE_IDLE;
	case CONN_FLUSH:
		return CLOSE_WRITE;
	case CONN_LINGER:
	case CONN_CLOSING:
	case CONN_NSTATES:
		break;
	}
	return CLOSE_LINGER;
}

static void cancel_pending(struct conn *c, enum close_reason why)
{
	struct op *op = c->wr.in_flight ? &c->wr : &c->rd;

	assert(op->in_flight); /* or nothing would ever end this connection */
	c->expired = (uint8_t)why;
	io_cancel_op(c, op);
}

static void expire(struct conn *c, long res)
{
	cancel_pending(c, why_of(c));
}

/* The cancelled operation is back. */
static void gone(struct conn *c, long res)
{
	const struct service *service = c->endpoint->service;

	switch ((enum close_reason)c->expired) {
	case CLOSE_HEADER:
		if (service->timeout)
			service->timeout(c->session, &c->out);
		flush_then_close(c, CLOSE_HEADER);
		return;
	case CLOSE_IDLE:
		if (c->tls) {
			flush_then_close(c, CLOSE_IDLE);
			return;
		}
		break;
	case CLOSE_NONE: /* nobody asked for it */
		close_now(c, CLOSE_ERROR);
		return;
	default:
		break;
	}
	close_now(c, c->expired);
}

/* Whether the bytes that moved make a new deadline of the kind that had passed. */
static bool is_postponed(const struct conn *c, enum close_reason why)
{
	return why == CLOSE_WRITE || (why == CLOSE_IDLE && c->progress);
}

/* An operation won against the cancel of @c's deadline. True: the deadline holds all the same. */
static bool lost_race(struct conn *c)
{
	enum close_reason why = c->expired;

	if (why == CLOSE_NONE)
		return false;
	if (why == CLOSE_EVICTED || why == CLOSE_DRAIN || (why == why_of(c) && !is_postponed(c, why))) {
		gone(c, 0);
		return true;
	}
	c->expired = CLOSE_NONE;
	return false;
}

/* --- SHAKE --- */

static void shaken(struct conn *c)
{
	struct tls_info info;

	tls_info(c->tls, &info);
	count(&c->shard->counters, tls_handshakes);
	if (info.resumed)
		count(&c->shard->counters, tls_resumed);
	c->state = CONN_SERVE;
	serve(c);
}

static void shake(struct conn *c)
{
	switch (conn_shake(c)) {
	case FED_FINISH:
		shaken(c);
		return;
	case FED_STUCK:
		c->stuck = true;
		break;
	case FED_EOF:
		close_now(c, CLOSE_PEER);
		return;
	case FED_TLS:
		tls_broken(c);
		return;
	case FED_MEMORY:
		close_now(c, CLOSE_MEMORY);
		return;
	case FED_MORE:
	case FED_ABORT:
		break;
	}
	if (!lost_race(c))
		pump(c);
}

static void shake_in(struct conn *c, long res)
{
	conn_received(c, (size_t)res);
	shake(c);
}

static void shake_out(struct conn *c, long res)
{
	out_sent(c, (size_t)res);
	if (lost_race(c))
		return;
	if (c->stuck) {
		c->stuck = false;
		shake(c);
		return;
	}
	pump(c);
}

static void shake_eof(struct conn *c, long res)
{
	close_now(c, CLOSE_PEER);
}

/* --- SERVE --- */

static void end_of_input(struct conn *c)
{
	size_t left = c->tls ? c->plain.len : c->in.len;

	c->eof = true;
	switch (c->endpoint->service->eof(c->session, left, &c->out)) {
	case STEP_FAILED:
		close_now(c, CLOSE_PEER);
		return;
	default:
		break;
	}
	flush_then_close(c, CLOSE_PEER);
}

static void serve(struct conn *c)
{
	enum fed fed = conn_feed(c);

	c->stuck = fed == FED_STUCK;
	switch (fed) {
	case FED_MORE:
	case FED_STUCK:
		if (!lost_race(c))
			pump(c);
		return;
	case FED_FINISH:
		flush_then_close(c, CLOSE_DONE);
		return;
	case FED_ABORT:
		close_now(c, CLOSE_DONE);
		return;
	case FED_EOF:
		end_of_input(c);
		return;
	case FED_TLS:
		tls_broken(c);
		return;
	case FED_MEMORY:
		break;
	}
	close_now(c, CLOSE_MEMORY);
}

static void serve_in(struct conn *c, long res)
{
	conn_received(c, (size_t)res);
	serve(c);
}

static void serve_eof(struct conn *c, long res)
{
	end_of_input(c);
}

static void serve_on(struct conn *c)
{
	if (c->stuck && c->out.nbytes < OUTQ_HIGH)
		serve(c);
	else if (!lost_race(c))
		pump(c);
}

static void serve_out(struct conn *c, long res)
{
	out_sent(c, (size_t)res);
	serve_on(c);
}

static void serve_file(struct conn *c, long res)
{
	out_filled(c, (size_t)res);
	serve_on(c);
}

/* The head has promised more than the file now has: the peer must see that this is not all. */
static void file_short(struct conn *c, long res)
{
	char peer[ADDR_TEXT_LEN];

	log_warning("%s: a file failed while it was sent: %s", addr_text(&c->peer, peer),
		    res ? "read error" : "it is shorter than before");
	close_now(c, CLOSE_ERROR);
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

/* Input no longer counts; a read that was in flight when flushing began ends here. */
static void drop_in(struct conn *c, long res)
{
	c->in.len = 0;
	pump(c);
}

static void linger_in(struct conn *c, long res)
{
	c->in.len = 0;
	if (!lost_race(c))
		pump(c);
}

static void flush_eof(struct conn *c, long res)
{
	c->eof = true;
	pump(c);
}

static void flush_out(struct conn *c, long res)
{
	out_sent(c, (size_t)res);
	if (!lost_race(c))
		pump(c);
}

static void flush_file(struct conn *c, long res)
{
	out_filled(c, (size_t)res);
	pump(c);
}

static void linger_eof(struct conn *c, long res)
{
	close_now(c, CLOSE_DONE);
}

static void force(struct conn *c, long res)
{
	close_now(c, CLOSE_DRAIN);
}

static void stop(struct conn *c, long res)
{
	idle_arm(c, DEADLINE_NONE);
	cancel_pending(c, CLOSE_DRAIN);
}

static void evict(struct conn *c, long res)
{
	cancel_pending(c, CLOSE_EVICTED);
}

static void ignore(struct conn *c, long res) {}

/* Cannot happen: no write is in flight in LINGER, no deadline in CLOSING. */
static void never(struct conn *c, long res)
{
	assert(!"event in a state that excludes it");
}

// clang-format off
static conn_step *const steps[CONN_NSTATES][CONN_NEVENTS] = {
	[CONN_SHAKE] = {
		[EV_IN] = shake_in,	[EV_EOF] = shake_eof,	  [EV_IN_ERR] = broken,
		[EV_OUT] = shake_out,	[EV_OUT_ERR] = broken,
		[EV_FILE] = never,	[EV_FILE_ERR] = never,
		[EV_GONE] = gone,	[EV_DEADLINE] = expire,	  [EV_DRAIN] = force, [EV_STOP] = stop, [EV_EVICT] = evict,
	},
	[CONN_SERVE] = {
		[EV_IN] = serve_in,	[EV_EOF] = serve_eof,	  [EV_IN_ERR] = broken,
		[EV_OUT] = serve_out,	[EV_OUT_ERR] = broken,
		[EV_FILE] = serve_file, [EV_FILE_ERR] = file_short,
		[EV_GONE] = gone,	[EV_DEADLINE] = expire,	  [EV_DRAIN] = serve_drain, [EV_STOP] = stop, [EV_EVICT] = evict,
	},
	[CONN_FLUSH] = {
		[EV_IN] = drop_in,	[EV_EOF] = flush_eof,	  [EV_IN_ERR] = broken,
		[EV_OUT] = flush_out,	[EV_OUT_ERR] = broken,
		[EV_FILE] = flush_file, [EV_FILE_ERR] = file_short,
		[EV_GONE] = gone,	[EV_DEADLINE] = expire,	  [EV_DRAIN] = ignore, [EV_STOP] = stop, [EV_EVICT] = evict,
	},
	[CONN_LINGER] = {
		[EV_IN] = linger_in,	[EV_EOF] = linger_eof,	  [EV_IN_ERR] = linger_eof,
		[EV_OUT] = never,	[EV_OUT_ERR] = never,
		[EV_FILE] = never,	[EV_FILE_ERR] = never,
		[EV_GONE] = gone,	[EV_DEADLINE] = expire,	  [EV_DRAIN] = ignore, [EV_STOP] = stop, [EV_EVICT] = evict,
	},
	[CONN_CLOSING] = {
		[EV_IN] = ignore,	[EV_EOF] = ignore,	  [EV_IN_ERR] = ignore,
		[EV_OUT] = ignore,	[EV_OUT_ERR] = ignore,
		[EV_FILE] = ignore,	[EV_FILE_ERR] = ignore,
		[EV_GONE] = ignore,	[EV_DEADLINE] = never,	  [EV_DRAIN] = ignore, [EV_STOP] = ignore, [EV_EVICT] = ignore,
	},
};
// clang-format on

bool conn_fsm_has(enum conn_state state, enum conn_event event)
{
	return steps[state][event] != NULL;
}

void conn_fsm(struct conn *c, int event, long res)
{
	conn_check(c);
	steps[c->state][event](c, res);
}

void conn_fsm_start(struct conn *c)
{
	pump(c);
}
