/* SPDX-License-Identifier: MIT */
/*
 * A run: one thread, one ring, its connections, its schedule and what was measured. Phases follow one another
 * in one direction; nothing here is shared with another thread.
 */
#ifndef RUN_H
#define RUN_H

#include "conn.h"
#include "cpu.h"
#include "mode.h"
#include "net.h"
#include "pace.h"
#include "reconnect.h"
#include "schedule.h"
#include "settings.h"
#include "stats.h"

#include <signal.h>
#include <stdio.h>

enum phase {
	PHASE_START,
	PHASE_RAMP,   /* connections are opened, nothing is requested yet */
	PHASE_WARMUP, /* load that is not measured */
	PHASE_MEASURE,
	PHASE_DRAIN, /* nothing new begins; outstanding responses still count */
	PHASE_COUNT, /* takes no time: counts what was not done */
	PHASE_CLOSE, /* connections are closed in order */
	PHASE_DROP,  /* the remaining ones are cut off */
	PHASE_DONE,
	PHASES,
};

/* report.c: the current second, and where it is shown. */
struct run_report {
	uint64_t next_ns;	    /* end of the current second */
	uint64_t responses, errors; /* counts at its start */
	FILE *csv;
	bool shows_progress;
};

struct run {
	const struct settings *set;
	const struct mode *mode;
	struct net net;
	struct schedule schedule;
	struct reconnect reconnect;
	uint64_t up_ns; /* when the last connection to be lost was lost; mode_load.c */
	struct conn *conns;
	char *in_slab, *state_slab; /* of all connections */
	uint32_t nconns;
	unsigned int rate; /* open loop: planned requests or cycles a second; 0: closed loop */

	/* phase.c */
	enum phase phase;
	uint64_t start_ns, end_ns;	       /* measured interval; end_ns is cut short by an interruption */
	uint64_t limit_ns;		       /* when the phase ends at the latest */
	uint64_t server_cpu_ns, client_cpu_ns; /* at the start, then the difference */
	bool has_server_cpu, is_interrupted;
	bool is_gone; /* the load ended because no connection could be reopened */

	/* loop.c */
	struct pace connect_pace; /* of the ramp */
	uint32_t nopened;	  /* ramp: conns[0..nopened) have been opened */
	uint64_t seen_ns;	  /* none of this turn's events arrived before this */

	struct cpu cpu;
	struct stats stats;
	struct run_report report;
};

/* Set by signal handlers: the measurement ends early. */
extern volatile sig_atomic_t run_interrupt;

static inline struct run *run_of(const struct conn *conn)
{
	return (struct run *)((char *)conn->net - offsetof(struct run, net));
}

/* The connection may begin its next request or cycle: now or, in the open loop, when that is planned. */
void run_ready(struct conn *conn);

/* conn_callbacks.on_drop of every mode: the connection is not scheduled any more. */
void run_unready(struct conn *conn);

/* Bracket what is measured as one latency: run_begin() when it is sent, run_end() when it is complete. */
void run_begin(struct conn *conn, uint64_t planned_ns);
void run_end(struct conn *conn);

/* Ends the bracket without a latency; does nothing if none is open. */
void run_abort(struct conn *conn);

/* The load begins nothing new. */
static inline bool run_is_ending(const struct run *run)
{
	return run->phase >= PHASE_DRAIN;
}

/* Lost connections are opened again: until the load is over or, in the open loop, all that was planned is
 * sent. */
static inline bool run_reopens(const struct run *run)
{
	return run->phase < PHASE_DRAIN || (run->phase == PHASE_DRAIN && schedule_has_plan(&run->schedule));
}

/* Connections are only being closed. */
static inline bool run_is_closing(const struct run *run)
{
	return run->phase >= PHASE_CLOSE;
}

#endif
