/* SPDX-License-Identifier: MIT */
/* echo and http: requests over connections that last. Loop thread only. */
#include "run.h"

#include <string.h>

static void load_begin(struct conn *conn, uint64_t planned_ns)
{
	run_begin(conn, planned_ns);
	conn_request(conn);
}

static void load_on_answer(struct conn *conn)
{
	run_end(conn);
	if (conn->reopen)
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
	struct run *run = conn->run;

	if (!conn->reopen || run_is_ending(run))
		return;
	conn->again = true;
	run->stats.reopened++;
	conn_open(conn);
}

static bool is_up(const struct conn *conn)
{
	return conn->state == CONN_OPEN || conn->reopen || (conn->again && conn->state != CONN_NONE);
}

static void load_on_end(struct run *run)
{
	for (uint32_t i = 0; i < run->nconns; i++)
		run->stats.completed += is_up(&run->conns[i]) && !run->conns[i].busy;
}

static bool load_is_over(const struct run *run)
{
	return !run->live;
}

const struct mode mode_echo = {
	.name = "echo",
	.proto = &proto_echo,
	.ramps = true,
	.begin = load_begin,
	.on_open = run_ready,
	.on_answer = load_on_answer,
	.on_hangup = load_on_hangup,
	.on_gone = load_on_gone,
	.on_end = load_on_end,
	.is_over = load_is_over,
};

const struct mode mode_http = {
	.name = "http",
	.proto = &proto_http,
	.ramps = true,
	.begin = load_begin,
	.on_open = run_ready,
	.on_answer = load_on_answer,
	.on_hangup = load_on_hangup,
	.on_gone = load_on_gone,
	.on_end = load_on_end,
	.is_over = load_is_over,
};
