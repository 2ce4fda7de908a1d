/* SPDX-License-Identifier: MIT */
/* churn: connect, ask once if so wished, close in order, again. A cycle is what is measured. Loop thread
 * only. */
#include "run.h"

static void churn_begin(struct conn *conn, uint64_t planned_ns)
{
	run_begin(conn, planned_ns);
	conn_open(conn);
}

static void churn_on_open(struct conn *conn)
{
	const struct run *run = conn->run;

	if (run->proto)
		conn_request(conn);
	else if (!run->set->resume)
		conn_finish(conn);
}

static void churn_on_answer(struct conn *conn)
{
	conn_finish(conn);
}

/* A ticket that comes after our close_notify does not resume; so the close waits for it. */
static void churn_on_ticket(struct conn *conn)
{
	if (!conn->run->proto)
		conn_finish(conn);
}

static void churn_on_hangup(struct conn *conn, int err)
{
	conn_fail(conn, err ? error_of_transfer(err) : ERROR_CLOSED, err, NULL);
}

/* After a failure the slot rests for a while: a server that refuses is not to be hammered. */
static void churn_on_gone(struct conn *conn)
{
	struct run *run = conn->run;

	if (conn->orderly) {
		run->stats.completed++;
		run_end(conn);
	}
	if (run->phase >= PHASE_CLOSE)
		return;
	if (conn->orderly)
		run_ready(conn);
	else
		timer_arm(&run->rests, &conn->timer, run->now_ns);
}

static bool churn_is_over(const struct run *run)
{
	return false;
}

const struct mode mode_churn = {
	.name = "churn",
	.begin = churn_begin,
	.on_open = churn_on_open,
	.on_answer = churn_on_answer,
	.on_ticket = churn_on_ticket,
	.on_hangup = churn_on_hangup,
	.on_gone = churn_on_gone,
	.takes_stray = true,
	.is_over = churn_is_over,
};
