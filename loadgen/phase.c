/* SPDX-License-Identifier: MIT */
/*
 * The phases of a run: what each begins with and when it is over. phase_step() alone writes run->phase.
 * Loop thread only.
 */
#include "report.h"
#include "run.h"

#include <assert.h>
#include <stdio.h>

/* How long connections may take to be closed in order at the end. */
#define CLOSE_NS (1 * NS_PER_SEC)

/* What an idle connection may be late before it counts as not closed at all. */
#define LATE_NS (5 * NS_PER_SEC)

/* ^C: answers under way are waited for no longer than this. */
#define INTERRUPT_NS (1 * NS_PER_SEC)

static bool is_past_limit(const struct run *run)
{
	return run->now_ns >= run->limit_ns;
}

static void ramp_enter(struct run *run)
{
	run->limit_ns = NEVER_NS;
	run->start_ns = run->mode->measures_ramp ? run->now_ns : NEVER_NS;
	run->end_ns = run->plan_end_ns = NEVER_NS;
	pace_start(&run->connect_pace, run->set->connect_rate, run->now_ns);
}

static bool ramp_is_over(const struct run *run)
{
	return !run->mode->ramps || (run->nopened == run->nconns && !run->opening) || run_interrupt;
}

static void warmup_enter(struct run *run)
{
	run->limit_ns = run->now_ns + run->set->warmup_us * NS_PER_US;
	pace_start(&run->pace, run->rate, run->now_ns);
	for (uint32_t i = 0; !run->mode->ramps && i < run->nconns; i++)
		run_ready(&run->conns[i]);
}

static bool load_is_over(const struct run *run)
{
	return is_past_limit(run) || run_interrupt || run->mode->is_over(run);
}

/* What came before the measured interval leaves no trace but counts of connections and errors. */
static void forget(struct run *run)
{
	struct stats *stats = &run->stats;

	stats->answered = 0;
	hist_reset(&stats->second);
	if (!run->mode->ramps) {
		hist_reset(&stats->connect);
		hist_reset(&stats->tls_full);
		hist_reset(&stats->tls_resumed);
	}
	run->start_ns = run->now_ns;
}

static void measure_enter(struct run *run)
{
	if (!run->mode->measures_ramp)
		forget(run);
	run->limit_ns = run->now_ns + run->set->duration_us * NS_PER_US;
	run->plan_end_ns = run->limit_ns;
	if (run->set->deadline_us && run->last_ref_ns) {
		uint64_t late_ns = run->last_ref_ns + run->set->deadline_us * NS_PER_US + LATE_NS;

		run->limit_ns = late_ns > run->limit_ns ? late_ns : run->limit_ns;
	}
	run->has_server_cpu = run->cpu.len && !cpu_read(&run->cpu, &run->server_cpu_ns);
	run->client_cpu_ns = cpu_self_ns();
	report_measure(run);
}

static void drain_enter(struct run *run)
{
	uint64_t wait_ns = run->set->timeout_us * NS_PER_US, server_ns;

	if (run->start_ns == NEVER_NS) /* interrupted before anything was measured */
		run->start_ns = run->now_ns;
	run->end_ns = run->now_ns;
	if (run->plan_end_ns > run->now_ns)
		run->plan_end_ns = run->now_ns;
	run->has_server_cpu = run->has_server_cpu && !cpu_read(&run->cpu, &server_ns);
	run->server_cpu_ns = run->has_server_cpu ? server_ns - run->server_cpu_ns : 0;
	run->client_cpu_ns = cpu_self_ns() - run->client_cpu_ns;
	run->interrupted = run_interrupt;
	if (run->interrupted && wait_ns > INTERRUPT_NS)
		wait_ns = INTERRUPT_NS;
	run->limit_ns = run->now_ns + wait_ns;
}

static bool drain_is_over(const struct run *run)
{
	if (is_past_limit(run))
		return true;
	return !run->begun && (!run_has_plan(run) || !run->live);
}

/* They have waited until now at least; to leave them out would be coordinated omission. */
static void count_unsent(struct run *run)
{
	struct stats *stats = &run->stats;
	uint64_t planned_ns;
	char line[120];

	while (run_has_plan(run)) {
		planned_ns = pace_take(&run->pace);
		if (planned_ns < run->start_ns)
			continue;
		stats->unsent++;
		hist_add(&stats->second, run->now_ns - planned_ns);
	}
	snprintf(line, sizeof(line), "%llu planned requests were never sent",
		 (unsigned long long)stats->unsent);
	stats_error(stats, ERROR_UNSENT, stats->unsent, line);
}

static void count_enter(struct run *run)
{
	if (!run->interrupted)
		count_unsent(run);
	if (run->mode->on_end)
		run->mode->on_end(run);
	report_count(run);
}

static bool count_is_over(const struct run *run)
{
	return true;
}

static void put_away(struct conn *conn)
{
	run_unready(conn);
	if (conn->state == CONN_NONE)
		timer_disarm(&conn->run->rests, &conn->timer);
	else if (conn->state == CONN_OPEN && !conn->busy)
		conn_finish(conn);
	else if (conn->state != CONN_FINISH)
		conn_drop(conn);
}

static void close_enter(struct run *run)
{
	run->limit_ns = run->now_ns + CLOSE_NS;
	for (uint32_t i = 0; i < run->nconns; i++)
		put_away(&run->conns[i]);
}

static bool close_is_over(const struct run *run)
{
	return !run->live || is_past_limit(run);
}

static void drop_enter(struct run *run)
{
	run->limit_ns = NEVER_NS;
	for (uint32_t i = 0; i < run->nconns; i++)
		conn_drop(&run->conns[i]);
}

static bool drop_is_over(const struct run *run)
{
	return !run->live;
}

struct phase_row {
	void (*enter)(struct run *run);
	bool (*is_over)(const struct run *run);
};

static const struct phase_row phases[PHASES] = {
	[PHASE_RAMP] = {ramp_enter, ramp_is_over},	 [PHASE_WARMUP] = {warmup_enter, load_is_over},
	[PHASE_MEASURE] = {measure_enter, load_is_over}, [PHASE_DRAIN] = {drain_enter, drain_is_over},
	[PHASE_COUNT] = {count_enter, count_is_over},	 [PHASE_CLOSE] = {close_enter, close_is_over},
	[PHASE_DROP] = {drop_enter, drop_is_over},	 [PHASE_DONE] = {report_end, NULL},
};

static void phase_enter(struct run *run, enum phase phase)
{
	run->phase = phase;
	phases[phase].enter(run);
}

void phase_step(struct run *run)
{
	if (run->phase == PHASE_START)
		phase_enter(run, PHASE_RAMP);
	while (run->phase != PHASE_DONE && phases[run->phase].is_over(run))
		phase_enter(run, run->phase + 1);
}

uint64_t phase_next_ns(const struct run *run)
{
	return run->limit_ns;
}
