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

static void load_on_response(struct conn *conn)
{
	run_end(conn);
	if (conn->peer_closes)
		conn_finish(conn);
	else
		run_ready(conn);
}

static void load_on_hangup(struct conn *conn, int err)
{
	conn_fail(conn, err ? error_of_transfer(err) : ERROR_CLOSED, err, NULL);
}

/* A connection that failed stays down: the report says so, and the rest of the load goes on. */
static void load_on_gone(struct conn *conn)
{
	struct run *run = run_of(conn);

	run_abort(conn);
	if (!conn->peer_closes || run_is_ending(run))
		return;
	conn->is_reopened = true;
	run->stats.reopened++;
	conn_open(conn);
}

static bool is_up(const struct conn *conn)
{
	return conn->state == CONN_OPEN || conn->peer_closes ||
	       (conn->is_reopened && conn->state != CONN_NONE);
}

static void load_on_end(struct run *run)
{
	for (uint32_t i = 0; i < run->nconns; i++)
		run->stats.completed += is_up(&run->conns[i]) && run->conns[i].exchange == EXCHANGE_NONE;
}

static bool load_is_over(const struct run *run)
{
	return !run->net.live;
}

#define LOAD_CONN                                                                                            \
	{                                                                                                    \
		.on_open = run_ready, .on_response = load_on_response, .on_hangup = load_on_hangup,          \
		.on_drop = run_unready, .on_gone = load_on_gone,                                             \
	}

// clang-format off
const struct mode mode_echo = {
	.command = {
		.name = "echo",
		.operands = "HOST:PORT",
		.help = "Send --size bytes and check that they come back.",
		.more = "No two consecutive requests send the same bytes, so stale or foreign bytes are detected.",
	},
	.takes = TAKES_RATE,
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
		.more = "A status of 400 or above is an error. If the server announces that it will close a "
			"connection, the connection is reopened.",
	},
	.takes = TAKES_URL | TAKES_RATE,
	.proto = &proto_http,
	.unit = "requests",
	.ramps = true,
	.conn = LOAD_CONN,
	.begin = load_begin,
	.on_end = load_on_end,
	.is_over = load_is_over,
};
// clang-format on
