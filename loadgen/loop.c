/* SPDX-License-Identifier: MIT */
/*
 * The loop: reap, handle, begin what is due, submit; sleep when there is nothing of it. Timestamps are taken
 * once a turn, when the events at hand were reaped and when new requests begin; a turn handles a bounded
 * number of events, so that they stay true.
 */
#include "run.h"
#include "report.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* Events of a turn. */
#define TURN_EVENTS 64

/* Sockets closed in a turn. */
#define TURN_BURIALS 16

/* Connections of the ramp in connect or handshake at a time: well below every listen backlog. */
#define OPENING_MAX 128

volatile sig_atomic_t run_interrupt;

void run_event(struct run *run, struct iocb *iocb, long res)
{
	conn_event(iocb->data, iocb, res);
}

void run_ready(struct conn *conn)
{
	struct run *run = conn->run;

	conn->is_ready = true;
	conn->ready_ns = run->seen_ns;
	run->nready++;
	TAILQ_INSERT_TAIL(&run->ready, conn, link);
}

void run_unready(struct conn *conn)
{
	struct run *run = conn->run;

	if (!conn->is_ready)
		return;
	conn->is_ready = false;
	run->nready--;
	TAILQ_REMOVE(&run->ready, conn, link);
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

static bool is_measured(const struct run *run, uint64_t planned_ns)
{
	return planned_ns >= run->start_ns && planned_ns < run->plan_end_ns;
}

/* What is notable of our own delays: half of what makes the run invalid. */
static uint64_t notable_ns(const struct run *run)
{
	return run->set->max_lag_us * NS_PER_US / 2;
}

/*
 * How far the sending is behind where it would be had we kept our own plan. A request that finds its
 * connection free and is late is late by our fault, and so are those that queue behind it: without the delay
 * the connection would have been ready that much sooner. What a busy connection (the server's doing) makes
 * wait is not counted, and the usual small delays of a turn do not add up over those that it makes wait.
 */
static uint64_t own_lag_ns(struct conn *conn, uint64_t planned_ns)
{
	const struct run *run = conn->run;
	uint64_t ready_ns = conn->ready_ns - conn->carry_ns;
	uint64_t lag_ns = run->now_ns - (planned_ns > ready_ns ? planned_ns : ready_ns);

	if (planned_ns >= ready_ns || lag_ns > conn->carry_ns + notable_ns(run))
		conn->carry_ns = lag_ns;
	return lag_ns;
}

void run_begin(struct conn *conn, uint64_t planned_ns)
{
	struct run *run = conn->run;
	uint64_t lag_ns;

	conn->begun = true;
	run->begun++;
	conn->planned_ns = planned_ns;
	conn->sent_ns = run->now_ns;
	if (!run->pace.rate)
		return;
	lag_ns = own_lag_ns(conn, planned_ns);
	if (is_measured(run, planned_ns))
		hist_add(&run->stats.lag, lag_ns);
}

void run_end(struct conn *conn)
{
	struct run *run = conn->run;
	struct stats *stats = &run->stats;

	run_abort(conn);
	if (run->now_ns >= run->start_ns && run->phase <= PHASE_MEASURE)
		stats->answered++;
	if (!is_measured(run, conn->planned_ns))
		return;
	stats->requests++;
	hist_add(&stats->second, run->now_ns - conn->planned_ns);
	if (run->pace.rate)
		hist_add(&stats->raw, run->now_ns - conn->sent_ns);
}

void run_abort(struct conn *conn)
{
	conn->begun = false;
	conn->run->begun--;
}

static void ramp(struct run *run)
{
	while (run->nopened < run->nconns && run->opening < OPENING_MAX &&
	       pace_next(&run->connect_pace) <= run->now_ns) {
		pace_take(&run->connect_pace);
		conn_open(&run->conns[run->nopened++]);
	}
}

static struct conn *take_ready(struct run *run)
{
	struct conn *conn = TAILQ_FIRST(&run->ready);

	if (conn)
		run_unready(conn);
	return conn;
}

/* Those that become ready meanwhile wait for the next turn. */
static void begin_closed_loop(struct run *run)
{
	if (run_is_ending(run))
		return;
	for (uint32_t n = run->nready; n; n--)
		run->mode->begin(take_ready(run), run->now_ns);
}

static void begin_open_loop(struct run *run)
{
	while (run->nready && run_has_plan(run) && pace_next(&run->pace) <= run->now_ns)
		run->mode->begin(take_ready(run), pace_take(&run->pace));
}

static void begin_due(struct run *run)
{
	if (run->phase == PHASE_RAMP)
		ramp(run);
	else if (run->phase <= PHASE_DRAIN && run->pace.rate)
		begin_open_loop(run);
	else if (run->phase <= PHASE_DRAIN)
		begin_closed_loop(run);
}

static struct conn *conn_of_timer(struct timer *timer)
{
	return timer ? (struct conn *)((char *)timer - offsetof(struct conn, timer)) : NULL;
}

static void expire(struct run *run)
{
	struct conn *conn;

	while ((conn = conn_of_timer(timers_take(&run->timeouts, run->now_ns))))
		conn_timeout(conn);
	while ((conn = conn_of_timer(timers_take(&run->rests, run->now_ns))))
		run_ready(conn);
}

/*
 * Closing sockets takes longer than seeing that the server has closed them, so it waits until there is
 * nothing to see, and is done a few at a time: when a herd is closed at once, each is seen when it happens.
 */
static void bury(struct run *run)
{
	struct conn *conn;

	for (int n = 0; n < TURN_BURIALS && (conn = TAILQ_FIRST(&run->gone)); n++) {
		TAILQ_REMOVE(&run->gone, conn, link);
		conn_bury(conn);
	}
}

static uint64_t next_work_ns(const struct run *run)
{
	if (!TAILQ_EMPTY(&run->gone))
		return 0;
	if (run->phase == PHASE_RAMP)
		return run->nopened < run->nconns && run->opening < OPENING_MAX
			       ? pace_next(&run->connect_pace)
			       : NEVER_NS;
	if (!run->nready || run->phase > PHASE_DRAIN)
		return NEVER_NS;
	if (run->pace.rate)
		return run_has_plan(run) ? pace_next(&run->pace) : NEVER_NS;
	return run_is_ending(run) ? NEVER_NS : 0;
}

/* When the loop has something to do if no event comes. */
static uint64_t next_due_ns(const struct run *run)
{
	uint64_t due_ns = earlier(phase_next_ns(run), run->tick_ns);

	due_ns = earlier(due_ns, timers_next(&run->timeouts));
	due_ns = earlier(due_ns, timers_next(&run->rests));
	return earlier(due_ns, next_work_ns(run));
}

/* In the open loop no sleep is longer than half the lag that matters, so that no stop of ours goes unnoticed.
 */
static uint64_t nap_end_ns(const struct run *run, uint64_t now_ns)
{
	uint64_t due_ns = next_due_ns(run), nap_ns = notable_ns(run);

	if (!run->rate)
		return due_ns;
	return earlier(due_ns, now_ns + (nap_ns > NS_PER_MS ? nap_ns : NS_PER_MS));
}

/*
 * Sleeps in ppoll(2) rather than in taio_wait(), whose milliseconds are too coarse for a plan of requests.
 * Racy on purpose: a signal between the test of run_interrupt and the sleep waits for the next tick.
 */
static void nap(struct run *run)
{
	struct pollfd fd = {.fd = taio_fd(run->ring), .events = POLLIN};
	uint64_t now_ns = clock_ns(), due_ns = nap_end_ns(run, now_ns);
	struct timespec left;

	if (due_ns <= now_ns || run_interrupt)
		return;
	left.tv_sec = (time_t)((due_ns - now_ns) / NS_PER_SEC);
	left.tv_nsec = (long)((due_ns - now_ns) % NS_PER_SEC);
	ppoll(&fd, 1, &left, NULL);
	/* Awake later than the timeout: what is there may have come before it. */
	run->seen_ns = earlier(clock_ns(), due_ns);
}

/* seen_ns: what a reap did not return came after the reap; a full one has left some that are older. */
static int reap(struct run *run, struct io_event *events)
{
	uint64_t before_ns = clock_ns();
	int n = taio_reap(run->ring, TURN_EVENTS, events);

	if (!n) {
		nap(run);
		before_ns = clock_ns();
		n = taio_reap(run->ring, TURN_EVENTS, events);
	}
	run->now_ns = clock_ns();
	for (int i = 0; i < n; i++)
		run_event(run, events[i].obj, (long)events[i].res);
	if (n < TURN_EVENTS)
		run->seen_ns = before_ns;
	return n;
}

int run_loop(struct run *run, char *why)
{
	struct io_event events[TURN_EVENTS];
	int n;

	run->now_ns = run->seen_ns = clock_ns();
	report_start(run);
	phase_step(run);
	while (run->phase != PHASE_DONE) {
		begin_due(run);
		batch_flush(&run->batch, run);
		n = reap(run, events);
		if (n < 0) {
			snprintf(why, RUN_WHY_LEN, "the ring failed: %s", strerror(-n));
			return n;
		}
		expire(run);
		if (n < TURN_EVENTS)
			bury(run);
		run->now_ns = clock_ns();
		report_tick(run);
		phase_step(run);
	}
	return 0;
}
