/* SPDX-License-Identifier: MIT */
/* echo and http: requests over connections that stay open. */
#include "mode.h"

#include "proto.h"
#include "run.h"

static void load_begin(struct conn *conn, uint64_t planned_ns)
{
	run_begin(conn, planned_ns);
	conn_request(conn);
}

static bool reopens(const struct conn *conn)
{
	return conn->peer_closes || run_of(conn)->set->on_close == ON_CLOSE_REOPEN;
}

static void load_on_response(struct conn *conn)
{
	run_end(conn);
	reconnect_proved(&run_of(conn)->reconnect, &conn->reconnect);
	if (conn->peer_closes)
		conn_finish(conn);
	else
		run_ready(conn);
}

/* An idle connection takes no request with it, so its loss is not an error. */
static void load_on_hangup(struct conn *conn, int err)
{
	enum error_kind kind = err ? error_of_transfer(err) : ERROR_CLOSED;

	if (reopens(conn) && (kind == ERROR_CLOSED || kind == ERROR_RESET))
		conn_drop(conn);
	else
		conn_fail(conn, kind, err, NULL);
}

/* A server that accepts connections only to close them is no better than one that refuses them. */
static bool is_failed_reconnect(const struct conn *conn)
{
	return !conn->open_ns || (!conn->nresponses && conn->net->now_ns - conn->open_ns < RECONNECT_MAX_NS);
}

static void load_on_drop(struct conn *conn)
{
	struct run *run = run_of(conn);

	run_unready(conn);
	if (conn->open_ns)
		run->up_ns = run->net.now_ns;
	reconnect_ended(&run->reconnect, &conn->reconnect, is_failed_reconnect(conn), run->net.now_ns);
}

/* A connection that was never established is not reopened: the report says that it was not established. */
static void load_on_gone(struct conn *conn)
{
	struct run *run = run_of(conn);

	run_abort(conn);
	if (!run_reopens(run) || !reopens(conn) || !(conn->open_ns || conn->is_reopened))
		return;
	conn->is_reopened = true;
	reconnect_add(&run->reconnect, &conn->reconnect);
}

/* Established or, provided that reconnects succeed, about to be again. */
static bool is_up(const struct conn *conn)
{
	if (conn->has_failed || conn->exchange != EXCHANGE_NONE)
		return false;
	return conn->state == CONN_OPEN ||
	       ((conn->open_ns || conn->is_reopened) && !run_of(conn)->reconnect.delay_ns);
}

/* No connection is established, and none could be reopened for --timeout. */
static bool is_gone(const struct run *run)
{
	return run->reconnect.delay_ns && run->net.live == run->net.opening &&
	       run->net.now_ns - run->up_ns >= run->set->timeout_us * NS_PER_US;
}

static void load_on_end(struct run *run)
{
	for (uint32_t i = 0; i < run->nconns; i++)
		run->stats.completed += is_up(&run->conns[i]);
	run->is_gone = is_gone(run);
}

static bool load_is_over(const struct run *run)
{
	return (!run->net.live && !run->reconnect.nwaiting) || is_gone(run);
}

#define LOAD_CONN                                                                                            \
	{                                                                                                    \
		.on_open = run_ready, .on_response = load_on_response, .on_hangup = load_on_hangup,          \
		.on_drop = load_on_drop, .on_gone = load_on_gone,                                            \
	}

// clang-format off
const struct mode mode_echo = {
	.command = {
		.name = "echo",
		.operands = "HOST:PORT",
		.help = "Send --size bytes and check that they come back.",
		.more = "No two consecutive requests send the same bytes, so stale or foreign bytes are detected.",
	},
	.takes = TAKES_RATE | TAKES_ON_CLOSE,
	.proto = &proto_echo,
	.unit = "requests",
	.ramps = true,
	.conn = LOAD_CONN,
	.begin = load_begin,
	.on_end = load_on_end,
	.is_over = load_is_over,
};

const struct mode mode_http = {
	.command = {
		.name = "http",
		.operands = "URL|HOST:PORT",
		.help = "Send GET requests over persistent connections.",
		.more = "A status of 400 or above is an error. A server may close a connection between requests, "
			"announced or not: see --on-close.",
	},
	.takes = TAKES_URL | TAKES_RATE | TAKES_ON_CLOSE,
	.proto = &proto_http,
	.unit = "requests",
	.ramps = true,
	.conn = LOAD_CONN,
	.begin = load_begin,
	.on_end = load_on_end,
	.is_over = load_is_over,
};
// clang-format on
