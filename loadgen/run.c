/* SPDX-License-Identifier: MIT */
/* What modes report about their requests and cycles: schedule.c schedules them, this file counts them. */
#include "run.h"

volatile sig_atomic_t run_interrupt;

void run_ready(struct conn *conn)
{
	struct run *run = run_of(conn);

	schedule_add(&run->schedule, &conn->entry, run->seen_ns);
}

void run_unready(struct conn *conn)
{
	schedule_remove(&run_of(conn)->schedule, &conn->entry);
}

static bool is_measured(const struct run *run, uint64_t planned_ns)
{
	return planned_ns >= run->start_ns && planned_ns < run->schedule.end_ns;
}

void run_begin(struct conn *conn, uint64_t planned_ns)
{
	struct run *run = run_of(conn);
	uint64_t lag_ns = schedule_begin(&run->schedule, &conn->entry, planned_ns, run->net.now_ns);

	if (run->rate && is_measured(run, planned_ns))
		hist_add(&run->stats.lag, lag_ns);
}

void run_end(struct conn *conn)
{
	struct run *run = run_of(conn);
	struct stats *stats = &run->stats;
	uint64_t now_ns = run->net.now_ns;

	schedule_end(&run->schedule, &conn->entry);
	if (now_ns >= run->start_ns && run->phase <= PHASE_MEASURE)
		stats->responses++;
	if (!is_measured(run, conn->entry.planned_ns))
		return;
	stats->requests++;
	hist_add(&stats->second, now_ns - conn->entry.planned_ns);
	if (run->rate)
		hist_add(&stats->raw, now_ns - conn->entry.sent_ns);
}

void run_abort(struct conn *conn)
{
	if (conn->entry.state == ENTRY_BEGUN)
		schedule_end(&run_of(conn)->schedule, &conn->entry);
}
