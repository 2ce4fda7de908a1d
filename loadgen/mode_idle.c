/* SPDX-License-Identifier: MIT */
/*
 * idle: holds connections and records when the server closes each.
 *
 * The reference instant of a connection is taken before connect(2), or before the ring gets a write of it,
 * whichever is later. The server's own clock starts after that; so a close that is early by ours was early.
 */
#include "run.h"

#include <errno.h>

static uint64_t deadline_ns(const struct run *run)
{
	return run->set->deadline_us * NS_PER_US;
}

static void note_ref(struct conn *conn, uint64_t now_ns)
{
	conn->ref_ns = now_ns;
	if (now_ns > conn->run->last_ref_ns)
		conn->run->last_ref_ns = now_ns;
}

static void idle_on_flush(struct run *run)
{
	uint64_t now_ns = clock_ns();

	for (size_t i = 0; i < run->batch.nwrites; i++) {
		const struct iocb *iocb = run->batch.writes[i];

		if (iocb->aio_lio_opcode == IO_CMD_PWRITE)
			note_ref(iocb->data, now_ns);
	}
}

static void idle_on_open(struct conn *conn)
{
	struct run *run = conn->run;

	note_ref(conn, conn->ref_ns);
	if (!run->proto)
		return;
	run_begin(conn, run->now_ns);
	conn_request(conn);
}

static void idle_on_answer(struct conn *conn)
{
	run_end(conn);
	if (!conn->reopen)
		return;
	conn_fail(conn, ERROR_CLOSED, 0, "the server announced to close after the request");
}

/*
 * Without --deadline: the largest multiple of 100 ms that no age is below. Servers are configured in such
 * steps, and none closes early against what was seen; 0 where the closes tell nothing.
 */
static uint64_t infer_deadline_ns(const struct run *run)
{
	const uint64_t step_ns = 100 * NS_PER_MS;
	uint64_t least_ns = UINT64_MAX;

	for (uint32_t i = 0; i < run->nconns; i++)
		if (run->conns[i].age_ns && run->conns[i].age_ns < least_ns)
			least_ns = run->conns[i].age_ns;
	return least_ns == UINT64_MAX ? 0 : least_ns / step_ns * step_ns;
}

static void infer_lateness(struct run *run)
{
	uint64_t inferred_ns = infer_deadline_ns(run);

	if (!inferred_ns)
		return;
	run->stats.inferred_ns = inferred_ns;
	for (uint32_t i = 0; i < run->nconns; i++) {
		if (!run->conns[i].age_ns)
			continue;
		hist_add(&run->stats.lateness, run->conns[i].age_ns - inferred_ns);
		run->stats.completed++;
	}
}

static void count_close(struct conn *conn, int err)
{
	struct run *run = conn->run;
	struct stats *stats = &run->stats;
	uint64_t due_ns = conn->ref_ns + deadline_ns(run);
	bool is_early = deadline_ns(run) && run->now_ns < due_ns;

	stats->closed++;
	hist_add(&stats->age, run->now_ns - conn->ref_ns);
	if (!err)
		conn->age_ns = run->now_ns - conn->ref_ns;
	if (is_early)
		stats->early++;
	else if (deadline_ns(run))
		hist_add(&stats->lateness, run->now_ns - due_ns);
	if (deadline_ns(run) && !is_early && !err)
		stats->completed++;
}

static void idle_on_hangup(struct conn *conn, int err)
{
	struct run *run = conn->run;
	uint64_t age_ns = run->now_ns - conn->ref_ns;
	char detail[100];

	if (run->phase >= PHASE_CLOSE) {
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

static void idle_on_gone(struct conn *conn) {}

static void idle_on_end(struct run *run)
{
	for (uint32_t i = 0; i < run->nconns; i++) {
		struct conn *conn = &run->conns[i];

		if (conn->state != CONN_OPEN || conn->busy)
			continue;
		if (deadline_ns(run) && !run->interrupted)
			conn_fail(conn, ERROR_NOT_CLOSED, 0, NULL);
		else
			run->stats.completed++;
	}
	if (!deadline_ns(run))
		infer_lateness(run);
}

static bool idle_is_over(const struct run *run)
{
	return !run->live;
}

const struct mode mode_idle = {
	.name = "idle",
	.ramps = true,
	.measures_ramp = true,
	.takes_stray = true,
	.on_open = idle_on_open,
	.on_answer = idle_on_answer,
	.on_hangup = idle_on_hangup,
	.on_gone = idle_on_gone,
	.on_flush = idle_on_flush,
	.on_end = idle_on_end,
	.is_over = idle_is_over,
};
