/* SPDX-License-Identifier: MIT */
/*
 * idle: holds connections and records when the server closes each.
 *
 * The reference instant of a connection is just before connect(2) or just before its last write is submitted,
 * whichever is later. The server's timer starts after that, so a close that is early by our clock was early
 * by the server's too.
 */
#include "mode.h"

#include "run.h"

/* A connection that is still open this long after the deadline counts as not closed. */
#define LATE_NS (5 * NS_PER_SEC)

struct idle_state {
	uint64_t ref_ns; /* the reference instant; 0: not established */
	uint64_t age_ns; /* from there to an orderly close by the server; 0: none */
};

static struct idle_state *idle_of(const struct conn *conn)
{
	return conn->mode_state;
}

static uint64_t deadline_ns(const struct run *run)
{
	return run->set->deadline_us * NS_PER_US;
}

static void idle_on_write(struct conn *conn, uint64_t now_ns)
{
	idle_of(conn)->ref_ns = now_ns;
}

static void idle_on_open(struct conn *conn)
{
	/* With TLS, handshake writes have set it already. */
	if (!idle_of(conn)->ref_ns)
		idle_of(conn)->ref_ns = conn->connect_ns;
	if (!conn->net->proto)
		return;
	run_begin(conn, conn->net->now_ns);
	conn_request(conn);
}

/* Nothing is scheduled. */
static void idle_begin(struct conn *conn, uint64_t planned_ns) {}

static void idle_on_response(struct conn *conn)
{
	run_end(conn);
	if (conn->peer_closes)
		conn_fail(conn, ERROR_CLOSED, 0, "the server announced that it closes after the request");
}

static uint64_t idle_measure_until_ns(const struct run *run)
{
	uint64_t last_ns = 0;

	for (uint32_t i = 0; i < run->nconns; i++)
		if (idle_of(&run->conns[i])->ref_ns > last_ns)
			last_ns = idle_of(&run->conns[i])->ref_ns;
	return deadline_ns(run) && last_ns ? last_ns + deadline_ns(run) + LATE_NS : 0;
}

/*
 * Without --deadline: the largest multiple of 100 ms that does not exceed any age. Servers are configured in
 * such steps, and by this measure no close was early. 0 if nothing can be inferred.
 */
static uint64_t infer_deadline_ns(const struct run *run)
{
	const uint64_t step_ns = 100 * NS_PER_MS;
	uint64_t least_ns = UINT64_MAX;

	for (uint32_t i = 0; i < run->nconns; i++) {
		uint64_t age_ns = idle_of(&run->conns[i])->age_ns;

		if (age_ns && age_ns < least_ns)
			least_ns = age_ns;
	}
	return least_ns == UINT64_MAX ? 0 : least_ns / step_ns * step_ns;
}

static void infer_lateness(struct run *run)
{
	uint64_t inferred_ns = infer_deadline_ns(run);

	if (!inferred_ns)
		return;
	run->stats.inferred_ns = inferred_ns;
	for (uint32_t i = 0; i < run->nconns; i++) {
		uint64_t age_ns = idle_of(&run->conns[i])->age_ns;

		if (!age_ns)
			continue;
		hist_add(&run->stats.lateness, age_ns - inferred_ns);
		run->stats.completed++;
	}
}

static void count_close(struct conn *conn, int err)
{
	struct run *run = run_of(conn);
	struct stats *stats = &run->stats;
	struct idle_state *idle = idle_of(conn);
	uint64_t due_ns = idle->ref_ns + deadline_ns(run);
	bool is_early = deadline_ns(run) && run->net.now_ns < due_ns;

	stats->closed++;
	hist_add(&stats->age, run->net.now_ns - idle->ref_ns);
	if (!err)
		idle->age_ns = run->net.now_ns - idle->ref_ns;
	if (is_early)
		stats->early++;
	else if (deadline_ns(run))
		hist_add(&stats->lateness, run->net.now_ns - due_ns);
	if (deadline_ns(run) && !is_early && !err)
		stats->completed++;
}

static void idle_on_hangup(struct conn *conn, int err)
{
	struct run *run = run_of(conn);
	uint64_t age_ns = run->net.now_ns - idle_of(conn)->ref_ns;
	char detail[100];

	if (run_is_closing(run)) {
		conn_drop(conn);
		return;
	}
	count_close(conn, err);
	if (err) {
		conn_fail(conn, error_of_transfer(err), err, NULL);
	} else if (deadline_ns(run) && age_ns < deadline_ns(run)) {
		snprintf(detail, sizeof(detail), "closed %.3f ms before the deadline",
			 (double)(deadline_ns(run) - age_ns) / NS_PER_MS);
		conn_fail(conn, ERROR_EARLY, 0, detail);
	} else {
		conn_drop(conn);
	}
}

static void idle_on_end(struct run *run)
{
	for (uint32_t i = 0; i < run->nconns; i++) {
		struct conn *conn = &run->conns[i];

		if (!conn_is_idle(conn))
			continue;
		if (deadline_ns(run) && !run->is_interrupted)
			conn_fail(conn, ERROR_NOT_CLOSED, 0, NULL);
		else
			run->stats.completed++;
	}
	if (!deadline_ns(run))
		infer_lateness(run);
}

static bool idle_is_over(const struct run *run)
{
	return !run->net.live;
}

// clang-format off
const struct mode mode_idle = {
	.command = {
		.name = "idle",
		.operands = "URL|HOST:PORT",
		.help = "Hold connections and record when the server closes each.",
		.more = "With --request, each connection first sends one request. Closes are measured against "
			"--deadline; the reference is the instant before connect(2), or before the last bytes were "
			"sent, so that a close that counts as early was early for the server too.",
	},
	.takes = TAKES_URL | TAKES_DEADLINE | TAKES_REQUEST,
	.unit = "requests",
	.ramps = true,
	.holds = true,
	.conn_size = sizeof(struct idle_state),
	.conn = {
		.on_open = idle_on_open,
		.on_response = idle_on_response,
		.on_hangup = idle_on_hangup,
		.on_drop = run_unready,
		.on_gone = run_abort,
		.on_write = idle_on_write,
		.allows_stray = true,
	},
	.begin = idle_begin,
	.measure_until_ns = idle_measure_until_ns,
	.on_end = idle_on_end,
	.is_over = idle_is_over,
};
// clang-format on
