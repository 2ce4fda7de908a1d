/* SPDX-License-Identifier: MIT */
/* churn: connect, optionally send one request, close in order, start over. Each such cycle is measured. */
#include "mode.h"

#include "run.h"

static void churn_begin(struct conn *conn, uint64_t planned_ns)
{
	run_begin(conn, planned_ns);
	conn_open(conn);
}

static void churn_on_open(struct conn *conn)
{
	if (conn->net->proto)
		conn_request(conn);
	else if (!run_of(conn)->set->resume)
		conn_finish(conn);
}

static void churn_on_response(struct conn *conn)
{
	conn_finish(conn);
}

/* A ticket that arrives after our close_notify is unusable, so we close only once it has arrived. */
static void churn_on_ticket(struct conn *conn)
{
	if (!conn->net->proto)
		conn_finish(conn);
}

static void churn_on_hangup(struct conn *conn, int err)
{
	conn_fail(conn, err ? error_of_transfer(err) : ERROR_CLOSED, err, NULL);
}

/* After a failure the slot pauses, so as not to hammer a server that refuses connections. */
static void churn_on_gone(struct conn *conn)
{
	struct run *run = run_of(conn);

	if (conn->is_orderly) {
		run->stats.completed++;
		run_end(conn);
	} else {
		run_abort(conn);
	}
	if (run_is_closing(run))
		return;
	if (conn->is_orderly)
		run_ready(conn);
	else
		schedule_add_later(&run->schedule, &conn->entry, run->net.now_ns);
}

static bool churn_is_over(const struct run *run)
{
	return false;
}

// clang-format off
const struct mode mode_churn = {
	.command = {
		.name = "churn",
		.operands = "URL|HOST:PORT",
		.help = "Connect, optionally send one request, close, and start over.",
		.more = "Closes in order: ends its own direction, then waits for the server to end its. The latency "
			"covers the whole cycle; connects, full and resumed TLS handshakes have their own histograms.",
	},
	.takes = TAKES_URL | TAKES_RATE | TAKES_REQUEST | TAKES_RESUME,
	.unit = "cycles",
	.conn = {
		.on_open = churn_on_open,
		.on_response = churn_on_response,
		.on_hangup = churn_on_hangup,
		.on_drop = run_unready,
		.on_gone = churn_on_gone,
		.on_ticket = churn_on_ticket,
		.allows_stray = true,
	},
	.begin = churn_begin,
	.is_over = churn_is_over,
};
// clang-format on
