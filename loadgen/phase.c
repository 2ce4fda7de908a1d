/* SPDX-License-Identifier: MIT */
/*
 * How each phase begins, when it ends, and what is counted during it. Only phase_step() writes run->phase.
 */
#include "phase.h"

#include "report.h"
#include "run.h"

#include <stdio.h>

/* Maximum time for the orderly close of connections at the end. */
#define CLOSE_NS (1 * NS_PER_SEC)

/* Maximum wait for outstanding responses after ^C. */
#define INTERRUPT_NS (1 * NS_PER_SEC)

static bool is_past_limit(const struct run *run)
{
	return run->net.now_ns >= run->limit_ns;
}

static void ramp_enter(struct run *run)
{
	run->limit_ns = NEVER_NS;
	run->start_ns = run->mode->holds ? run->net.now_ns : NEVER_NS;
	run->end_ns = run->schedule.end_ns = NEVER_NS;
	pace_start(&run->connect_pace, run->set->connect_rate, run->net.now_ns);
}

static bool ramp_is_over(const struct run *run)
{
	return !run->mode->ramps || (run->nopened == run->nconns && !run->net.opening) || run_interrupt;
}

static void warmup_enter(struct run *run)
{
	run->limit_ns = run->net.now_ns + run->set->warmup_us * NS_PER_US;
	schedule_start(&run->schedule, run->rate, run->net.now_ns);
	for (uint32_t i = 0; !run->mode->ramps && i < run->nconns; i++)
		run_ready(&run->conns[i]);
}

static bool load_is_over(const struct run *run)
{
	return is_past_limit(run) || run_interrupt || run->mode->is_over(run);
}

/* Discards everything from before the measured interval except the counts of connections and errors. */
static void reset_stats(struct run *run)
{
	struct stats *stats = &run->stats;

	stats->responses = 0;
	hist_reset(&stats->second);
	if (!run->mode->ramps) {
		hist_reset(&stats->connect);
		hist_reset(&stats->tls_full);
		hist_reset(&stats->tls_resumed);
	}
	run->start_ns = run->net.now_ns;
}

static void measure_enter(struct run *run)
{
	uint64_t until_ns = run->mode->measure_until_ns ? run->mode->measure_until_ns(run) : 0;

	if (!run->mode->holds)
		reset_stats(run);
	run->schedule.end_ns = run->net.now_ns + run->set->duration_us * NS_PER_US;
	run->limit_ns = run->schedule.end_ns > until_ns ? run->schedule.end_ns : until_ns;
	run->has_server_cpu = run->cpu.len && !cpu_read(&run->cpu, &run->server_cpu_ns);
	run->client_cpu_ns = cpu_self_ns();
	report_measure(run);
}

static void drain_enter(struct run *run)
{
	uint64_t wait_ns = run->set->timeout_us * NS_PER_US, server_ns;

	if (run->start_ns == NEVER_NS) /* interrupted before anything was measured */
		run->start_ns = run->net.now_ns;
	run->end_ns = run->net.now_ns;
	if (run->schedule.end_ns > run->net.now_ns)
		run->schedule.end_ns = run->net.now_ns;
	run->has_server_cpu = run->has_server_cpu && !cpu_read(&run->cpu, &server_ns);
	run->server_cpu_ns = run->has_server_cpu ? server_ns - run->server_cpu_ns : 0;
	run->client_cpu_ns = cpu_self_ns() - run->client_cpu_ns;
	run->is_interrupted = run_interrupt;
	if (run->is_interrupted && wait_ns > INTERRUPT_NS)
		wait_ns = INTERRUPT_NS;
	run->limit_ns = run->net.now_ns + wait_ns;
}

static bool drain_is_over(const struct run *run)
{
	if (is_past_limit(run))
		return true;
	return !run->schedule.nbegun && (!schedule_has_plan(&run->schedule) || run->mode->is_over(run));
}

/* These requests have waited at least until now; leaving them out would be coordinated omission. */
static void count_unsent(struct run *run)
{
	struct stats *stats = &run->stats;
	uint64_t planned_ns;
	char line[120];

	while (schedule_has_plan(&run->schedule)) {
		planned_ns = pace_take(&run->schedule.pace);
		if (planned_ns < run->start_ns)
			continue;
		stats->unsent++;
		hist_add(&stats->second, run->net.now_ns - planned_ns);
	}
	snprintf(line, sizeof(line), "%llu planned requests were never sent",
		 (unsigned long long)stats->unsent);
	stats_error(stats, ERROR_UNSENT, stats->unsent, line);
}

static void count_enter(struct run *run)
{
	if (!run->is_interrupted)
		count_unsent(run);
	if (run->mode->on_end)
		run->mode->on_end(run);
	report_count(run);
}

static bool count_is_over(const struct run *run)
{
	return true;
}

static void end_conn(struct conn *conn)
{
	run_unready(conn);
	if (conn_is_idle(conn))
		conn_finish(conn);
	else if (conn->state != CONN_FINISH)
		conn_drop(conn);
}

static void close_enter(struct run *run)
{
	run->limit_ns = run->net.now_ns + CLOSE_NS;
	for (uint32_t i = 0; i < run->nconns; i++)
		end_conn(&run->conns[i]);
}

static bool close_is_over(const struct run *run)
{
	return !run->net.live || is_past_limit(run);
}

static void drop_enter(struct run *run)
{
	run->limit_ns = NEVER_NS;
	for (uint32_t i = 0; i < run->nconns; i++)
		conn_drop(&run->conns[i]);
}

static bool drop_is_over(const struct run *run)
{
	return !run->net.live;
}

struct phase_row {
	void (*enter)(struct run *run);
	bool (*is_over)(const struct run *run);
	enum net_counting counting;
};

// clang-format off
static const struct phase_row phases[PHASES] = {
	[PHASE_RAMP] =	  { ramp_enter,	   ramp_is_over,  COUNT_ERRORS },
	[PHASE_WARMUP] =  { warmup_enter,  load_is_over,  COUNT_ERRORS },
	[PHASE_MEASURE] = { measure_enter, load_is_over,  COUNT_ALL },
	[PHASE_DRAIN] =	  { drain_enter,   drain_is_over, COUNT_ERRORS },
	[PHASE_COUNT] =	  { count_enter,   count_is_over, COUNT_ERRORS },
	[PHASE_CLOSE] =	  { close_enter,   close_is_over, COUNT_NOTHING },
	[PHASE_DROP] =	  { drop_enter,	   drop_is_over,  COUNT_NOTHING },
	[PHASE_DONE] =	  { report_end,	   NULL,	  COUNT_NOTHING },
};
// clang-format on

static void phase_enter(struct run *run, enum phase phase)
{
	run->phase = phase;
	run->net.counting = phases[phase].counting;
	phases[phase].enter(run);
}

void phase_step(struct run *run)
{
	if (run->phase == PHASE_START)
		phase_enter(run, PHASE_RAMP);
	while (run->phase != PHASE_DONE && phases[run->phase].is_over(run))
		phase_enter(run, run->phase + 1);
}

uint64_t phase_end_ns(const struct run *run)
{
	return run->limit_ns;
}
