/* SPDX-License-Identifier: MIT */
/*
 * The loop: submit, reap, handle events, begin what is due, and sleep when there is nothing to do. The time
 * is read twice a turn: after events are reaped and before new requests begin. A turn handles a bounded
 * number of events so that these timestamps stay accurate.
 */
#include "loop.h"

#include "aio/taio.h"
#include "phase.h"
#include "report.h"
#include "run.h"

#include <poll.h>
#include <string.h>

/* Maximum events handled per turn. */
#define TURN_EVENTS 64

/* Maximum sockets closed per turn. */
#define TURN_CLOSES 16

/* Maximum connections in connect or handshake, except in churn: well below any usual listen backlog. */
#define OPENING_MAX 128

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

/* When the ramp may open the next connection; NEVER_NS if an event has to come first. */
static uint64_t ramp_ns(const struct run *run)
{
	if (run->nopened == run->nconns || run->net.opening >= OPENING_MAX)
		return NEVER_NS;
	return pace_next(&run->connect_pace);
}

/* The same for reopening the next lost connection. */
static uint64_t reopen_ns(const struct run *run)
{
	if (!run_reopens(run) || run->net.opening >= OPENING_MAX)
		return NEVER_NS;
	return reconnect_take_ns(&run->reconnect, run->net.opening);
}

static void reopen(struct run *run)
{
	struct reconnect_entry *entry;

	while (reopen_ns(run) <= run->net.now_ns) {
		entry = reconnect_take(&run->reconnect, run->net.now_ns);
		conn_open((struct conn *)((char *)entry - offsetof(struct conn, reconnect)));
	}
}

static void ramp(struct run *run)
{
	while (ramp_ns(run) <= run->net.now_ns) {
		pace_take(&run->connect_pace);
		conn_open(&run->conns[run->nopened++]);
	}
}

/* Entries that become ready in the process wait for the next turn. */
static void begin_scheduled(struct run *run)
{
	struct schedule_entry *entry;
	uint64_t planned_ns;

	for (uint32_t n = run->schedule.nready; n; n--) {
		entry = schedule_take(&run->schedule, run->net.now_ns, &planned_ns);
		if (!entry)
			return;
		run->mode->begin((struct conn *)((char *)entry - offsetof(struct conn, entry)), planned_ns);
	}
}

static void begin_due(struct run *run)
{
	reopen(run);
	if (run->phase == PHASE_RAMP)
		ramp(run);
	else if (!run_is_closing(run))
		begin_scheduled(run);
}

/*
 * Closing a socket takes longer than noticing that the server has closed its end. Sockets are therefore
 * closed only when no events are left to handle, and a few at a time: when the server closes thousands of
 * connections at once, each close is timed when it happens.
 */
static void close_drained(struct run *run)
{
	struct conn *conn;

	for (int n = 0; n < TURN_CLOSES && (conn = TAILQ_FIRST(&run->net.drained)); n++)
		conn_close(conn);
}

static uint64_t next_work_ns(const struct run *run, uint64_t now_ns)
{
	if (!TAILQ_EMPTY(&run->net.drained))
		return 0;
	if (run_is_closing(run))
		return NEVER_NS;
	return earlier(reopen_ns(run),
		       run->phase == PHASE_RAMP ? ramp_ns(run) : schedule_take_ns(&run->schedule, now_ns));
}

/* When the loop next has something to do, even if no event arrives. */
static uint64_t next_due_ns(const struct run *run, uint64_t now_ns)
{
	uint64_t due_ns = earlier(phase_end_ns(run), run->report.next_ns);

	due_ns = earlier(due_ns, timers_next(&run->net.timeouts));
	due_ns = earlier(due_ns, schedule_expire_ns(&run->schedule));
	return earlier(due_ns, next_work_ns(run, now_ns));
}

/*
 * In the open loop, no sleep is longer than half the lag that matters, so that the process notices when it
 * has been paused.
 */
static uint64_t sleep_end_ns(const struct run *run, uint64_t now_ns)
{
	uint64_t due_ns = next_due_ns(run, now_ns), sleep_ns = run->schedule.notable_ns;

	if (!run->rate)
		return due_ns;
	return earlier(due_ns, now_ns + (sleep_ns > NS_PER_MS ? sleep_ns : NS_PER_MS));
}

/*
 * Sleeps in ppoll(2) because the milliseconds of taio_wait() are too coarse for a request schedule. Racy on
 * purpose: a signal that arrives between the check of run_interrupt and the sleep is noticed after the sleep.
 */
static void sleep_until_due(struct run *run)
{
	struct pollfd fd = {.fd = taio_fd(run->net.ops.ring), .events = POLLIN};
	uint64_t now_ns = clock_ns(), due_ns = sleep_end_ns(run, now_ns);
	struct timespec left;

	if (due_ns <= now_ns || run_interrupt)
		return;
	left.tv_sec = (time_t)((due_ns - now_ns) / NS_PER_SEC);
	left.tv_nsec = (long)((due_ns - now_ns) % NS_PER_SEC);
	ppoll(&fd, 1, &left, NULL);
	/*
	 * If we woke up late, pending events may have arrived as early as when the sleep should have ended.
	 */
	run->seen_ns = earlier(clock_ns(), due_ns);
}

/* Events that a reap did not return arrived after it, unless it was full: hence seen_ns. */
static int reap(struct run *run, struct io_event *events)
{
	struct taio *ring = run->net.ops.ring;
	uint64_t before_ns = clock_ns();
	int n = taio_reap(ring, TURN_EVENTS, events);

	if (!n) {
		sleep_until_due(run);
		before_ns = clock_ns();
		n = taio_reap(ring, TURN_EVENTS, events);
	}
	run->net.now_ns = clock_ns();
	for (int i = 0; i < n; i++)
		conn_event(op_done(events[i].obj), (long)events[i].res);
	if (n < TURN_EVENTS)
		run->seen_ns = before_ns;
	return n;
}

int loop_run(struct run *run, char *why)
{
	struct io_event events[TURN_EVENTS];
	int n;

	run->net.now_ns = run->seen_ns = clock_ns();
	report_start(run);
	phase_step(run);
	while (run->phase != PHASE_DONE) {
		begin_due(run);
		conn_flush(&run->net);
		n = reap(run, events);
		if (n < 0) {
			snprintf(why, WHY_LEN, "the ring failed: %s", strerror(-n));
			return n;
		}
		conn_expire(&run->net);
		schedule_expire(&run->schedule, run->net.now_ns, run->seen_ns);
		if (n < TURN_EVENTS)
			close_drained(run);
		run->net.now_ns = clock_ns();
		report_tick(run);
		phase_step(run);
	}
	return 0;
}
