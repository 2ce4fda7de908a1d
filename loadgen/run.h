/* SPDX-License-Identifier: MIT */
/*
 * A run: one thread, one ring, its connections, its plan and what was measured. Phases follow one another in
 * one direction; nothing here is shared with another thread.
 */
#ifndef RUN_H
#define RUN_H

#include "aio/taio.h"
#include "batch.h"
#include "base/clock.h"
#include "conn.h"
#include "cpu.h"
#include "mode.h"
#include "settings.h"
#include "pace.h"
#include "proto.h"
#include "sock.h"
#include "stats.h"
#include "target.h"
#include "tls/tls.h"

#include <signal.h>
#include <stdio.h>

#define RUN_WHY_LEN 512

/* Plain bytes that one tls_read() gives at most. */
#define PLAIN_CAP (16 * 1024)

enum phase {
	PHASE_START,
	PHASE_RAMP,   /* connections are opened, nothing is asked yet */
	PHASE_WARMUP, /* load, not measured */
	PHASE_MEASURE,
	PHASE_DRAIN, /* nothing new begins; answers that are due still count */
	PHASE_COUNT, /* no time: what was not done is counted */
	PHASE_CLOSE, /* connections are closed in order */
	PHASE_DROP,  /* those that are left are cut off */
	PHASE_DONE,
	PHASES,
};

struct wire_buf; /* sock_tls.c */

struct run {
	const struct settings *set;
	const struct mode *mode;
	const struct proto *proto; /* NULL: nothing is asked */
	const struct sock *sock;
	void *proto_data;
	struct target target;
	struct taio *ring;
	struct tls_ctx *tls_ctx;
	const char *sni;
	struct tls_info tls_info; /* of the first session established */
	struct wire_buf *wire_free;
	char plain[PLAIN_CAP];

	struct conn *conns;
	char *in_slab;
	uint32_t nconns, in_cap;
	uint32_t nopened;    /* ramp: conns[0..nopened) were opened */
	uint32_t opening;    /* in CONNECT or SHAKE */
	uint32_t live;	     /* not in NONE */
	uint32_t begun;	     /* requests or cycles under way */
	unsigned int source; /* plain loopback target: 127.0.0.(1 + source); conn.c */
	uint32_t nready;
	TAILQ_HEAD(conn_queue, conn) ready; /* those that may begin the next thing, longest waiting first */
	struct conn_queue gone;		    /* those to be buried at the end of the turn */
	struct timers timeouts, rests;
	struct batch batch;

	enum phase phase;
	uint64_t now_ns;      /* of this turn: when the events at hand were reaped */
	uint64_t seen_ns;     /* no event at hand came before this */
	uint64_t plan_end_ns; /* what is planned for this instant or later is neither sent nor measured */
	uint64_t start_ns, end_ns; /* measured interval; end_ns is cut short by an interruption */
	uint64_t limit_ns;	   /* when the phase ends at the latest */
	uint64_t last_ref_ns;	   /* idle: the latest reference instant */
	unsigned int rate;	   /* open loop: planned requests or cycles a second; 0: closed loop */
	struct pace pace, connect_pace;
	struct stats stats;
	struct cpu cpu;
	uint64_t server_cpu_ns, client_cpu_ns; /* at the start, then the difference */
	bool has_server_cpu, interrupted;

	uint64_t tick_ns, tick_answered,
		tick_errors; /* report.c: end of the running second, counts at its start */
	FILE *csv;
	bool progress;
};

/*
 * Checks @set against @mode and @target, raises RLIMIT_NOFILE, opens ring and connections' memory. 0, or with
 * why: -EINVAL usage, another -errno what failed.
 */
int run_open(struct run *run, const struct settings *set, const struct mode *mode, const char *target,
	     char *why);
void run_close(struct run *run);

/* Runs all phases. 0, or -errno with why: the ring broke. Results are in run->stats. */
int run_loop(struct run *run, char *why);

/* A completion, or an operation that the ring refused. */
void run_event(struct run *run, struct iocb *iocb, long res);

/* The connection may begin the next thing: now or, in the open loop, when it is planned. */
void run_ready(struct conn *conn);
void run_unready(struct conn *conn);

/* Brackets what is measured as one latency: sent now, planned at @planned_ns; complete now; or given up. */
void run_begin(struct conn *conn, uint64_t planned_ns);
void run_end(struct conn *conn);
void run_abort(struct conn *conn);

/* Set by signal handlers: the measurement ends early. */
extern volatile sig_atomic_t run_interrupt;

/* phase.c: goes on to the next phase where the present one is over; when that may be the case at the latest.
 */
void phase_step(struct run *run);
uint64_t phase_next_ns(const struct run *run);

/* Open loop: is there a planned request that is still to be sent? */
static inline bool run_has_plan(const struct run *run)
{
	return run->pace.rate && pace_next(&run->pace) < run->plan_end_ns;
}

/* The load is to begin things no more. */
static inline bool run_is_ending(const struct run *run)
{
	return run->phase >= PHASE_DRAIN;
}

#endif
