/* SPDX-License-Identifier: MIT */
#include "accept.h"

#include "base/clock.h"
#include "census.h"
#include "log.h"
#include "server/conn/deadline.h"
#include "server/conn/fsm.h"
#include "server/conn/op.h"
#include "server/conn/shake.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections accepted in one go; the bound keeps existing ones served. */
#define ACCEPT_BURST 64
#define RETRY_S	     0.1
#define SLOTS_S	     1. /* how often to look for slots that other processes have freed */

static void complain(struct acceptor *a, struct log_limit *limit, const char *what, int err)
{
	char buf[LOG_MORE_LEN];
	const char *more = log_limited(limit, a->shard->now_us, buf);

	if (more)
		log_warning("%s: %s%s%s", what, strerror(err),
			    err == EMFILE ? "; raise LimitNOFILE= or lower --max-connections" : "", more);
}

/* Accepts nothing until on_retry(). */
static void pause_for(struct acceptor *a, double seconds)
{
	ev_io_stop(a->loop, &a->io);
	ev_timer_set(&a->retry, seconds, 0.);
	ev_timer_start(a->loop, &a->retry);
}

static void back_off(struct acceptor *a, int err)
{
	count(&a->shard->counters, accept_errors);
	if (err == EMFILE || err == ENFILE)
		count(&a->shard->counters, emfile);
	complain(a, &a->accept_limit, "cannot accept", err);
	pause_for(a, RETRY_S);
}

/* Counted later is what comes by way of a proxy: the client's address is not known yet. */
static bool enter(struct acceptor *a, const union addr *peer, struct census_row **row)
{
	int ret;

	*row = NULL;
	if (conn_is_proxied(a->endpoint, peer))
		return true;
	ret = census_enter(row, peer, &a->shard->census);
	if (ret)
		conn_refused(a->shard, a->endpoint->tally, peer, ret);
	return !ret;
}

static void admit(struct acceptor *a, int fd, const union addr *peer)
{
	struct census_row *row;
	struct conn *c;
	int one = 1, ret;

	if (!enter(a, peer, &row)) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ret = conn_op_reserve(a->shard, a->shard->nconns + 1);
	if (!ret)
		ret = conn_create(&c, a->shard, a->group, a->endpoint, CONN_ACCEPTED, fd, peer);
	if (!ret) {
		c->row = row;
		conn_fsm_start(c);
		return;
	}
	census_leave(row);
	count(&a->shard->counters, accept_errors);
	complain(a, &a->admit_limit, "cannot take a connection", -ret);
	close(fd);
}

/* Operations that the next connection may bring their number to, with those that its session opens. */
static unsigned int ops_wanted(const struct acceptor *a)
{
	return conn_ops(a->shard, a->shard->nconns + 1 + a->endpoint->service->outgoing);
}

static void complain_of_slots(struct acceptor *a)
{
	char text[160] = "no slots are left", buf[LOG_MORE_LEN];
	const char *more = log_limited(&a->slots_limit, a->shard->now_us, buf);
	struct taio_slots slots;

	if (!more)
		return;
	if (!taio_slots(&slots, false))
		taio_slots_text(&slots, text, sizeof(text));
	log_warning("full at %u connections, which need two slots each: %s; raise fs.aio-max-nr; taio "
		    "engines shows which process holds them%s",
		    a->shard->nconns, text, more);
}

/* Whether the listener has as many connections as it may. */
static bool has_its_share(const struct acceptor *a)
{
	return a->group->limits.max_connections && a->group->naccepted >= a->group->limits.max_connections;
}

/* One connection is served whatever the bound. */
static bool is_short_of_memory(const struct acceptor *a)
{
	return a->shard->naccepted && conn_memory_exceeds(a->shard, a->endpoint->tls, CONN_MEMORY_SPARE);
}

/* Whether the end of a connection makes room. */
static bool is_at_limit(const struct acceptor *a)
{
	return a->shard->naccepted >= a->limit || has_its_share(a) || is_short_of_memory(a);
}

/* The ring takes more slots as connections need them. */
static bool is_full(struct acceptor *a)
{
	if (is_short_of_memory(a)) {
		count(&a->shard->counters, memory_full);
		conn_memory_warn(a->shard, "another connection");
	}
	if (is_at_limit(a))
		return true;
	if (!taio_reserve(a->shard->ring, ops_wanted(a)))
		return false;
	complain_of_slots(a);
	return true;
}

/* The same without a try to get more. */
static bool is_still_full(const struct acceptor *a)
{
	return is_at_limit(a) || !taio_has_room(a->shard->ring, ops_wanted(a));
}

/* The bound may be exceeded by the one that goes, until its operation is back. */
static bool evict_oldest(struct acceptor *a)
{
	struct conn *oldest =
		has_its_share(a) ? deadline_most_idle_of(a->group) : deadline_most_idle(a->shard);

	if (!oldest)
		return false;
	count(&a->shard->counters, evicted);
	conn_fsm(oldest, ON_EVICT, 0);
	return true;
}

/*
 * For a connection that has been accepted; before that nothing has to make room. One that goes need not hold
 * as much as one that comes: above max-memory it is refused in any case.
 */
static bool make_room(struct acceptor *a)
{
	if (!is_full(a))
		return true;
	if (a->group->limits.when_full != FULL_EVICT || !evict_oldest(a))
		return false;
	return !conn_memory_exceeds(a->shard, a->endpoint->tls, 0);
}

/*
 * Threads have as many handshakes to make as they should. What comes waits in the backlog: if all were taken
 * in, each would wait in the threads' queue until its time is over, and none be completed.
 */
static bool is_behind(const struct acceptor *a)
{
	return (a->endpoint->tls || a->endpoint->service->outgoing) &&
	       a->shard->counters.v[COUNT_tls_handshakes_waiting] >= SHAKES_MAX;
}

static bool is_fatal(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

/* Until a connection ends. Nobody tells when other processes free slots, so that is looked for. */
static void wait_for_room(struct acceptor *a)
{
	a->full = true;
	if (!is_at_limit(a))
		pause_for(a, SLOTS_S);
	else
		ev_io_stop(a->loop, &a->io);
}

/* accept-rate: a second's worth may come at once. False: on_retry() goes on once there is a token. */
static bool has_token(struct acceptor *a)
{
	double rate = a->endpoint->accept_rate, most = rate < 1 ? 1 : rate;
	uint64_t now_us = clock_us();

	if (!rate)
		return true;
	a->tokens += (double)(now_us - a->filled_us) * rate / 1e6;
	a->tokens = a->tokens < most ? a->tokens : most;
	a->filled_us = now_us;
	if (a->tokens >= 1)
		return true;
	count(&a->shard->counters, rate_limited);
	tally_count(a->endpoint->tally, rate_limited);
	pause_for(a, (1 - a->tokens) / rate);
	return false;
}

/* False: nothing more to accept now. */
static bool accept_one(struct acceptor *a)
{
	union addr peer = {0};
	socklen_t len = sizeof(peer);
	int fd;

	if (!has_token(a))
		return false;
	if (is_behind(a)) {
		a->full = true;
		ev_io_stop(a->loop, &a->io);
		return false;
	}
	if (a->group->limits.when_full == FULL_WAIT && is_full(a)) {
		wait_for_room(a);
		return false;
	}
	fd = accept4(a->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (is_fatal(errno))
			back_off(a, errno);
		return errno == ECONNABORTED || errno == EINTR;
	}
	if (a->endpoint->accept_rate)
		a->tokens -= 1;
	/* The turn's clock was read before the loop slept: deadlines based on it would be early. */
	a->shard->now_us = clock_us();
	if (make_room(a)) {
		admit(a, fd, &peer);
	} else {
		count(&a->shard->counters, refused_full);
		tally_count(a->endpoint->tally, refused_full);
		close(fd);
	}
	return true;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct acceptor *a = io->data;

	/* epoll_ctl(2) has failed and libev has stopped the watcher: nothing would be accepted any more. */
	if (revents & EV_ERROR) {
		back_off(a, ENOMEM);
		return;
	}
	for (int i = 0; i < ACCEPT_BURST && accept_one(a); i++)
		;
}

static void go_on(struct acceptor *a)
{
	a->full = false;
	ev_timer_stop(a->loop, &a->retry);
	ev_io_start(a->loop, &a->io);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct acceptor *a = timer->data;

	if (a->full && taio_reserve(a->shard->ring, ops_wanted(a)))
		pause_for(a, SLOTS_S);
	else
		go_on(a);
}

void acceptor_start(struct acceptor *a, struct ev_loop *loop)
{
	a->loop = loop;
	a->retry.data = a;
	ev_init(&a->retry, on_retry);
	if (a->fd < 0) /* another worker has it */
		return;
	ev_io_init(&a->io, on_readable, a->fd, EV_READ);
	a->io.data = a;
	ev_io_start(loop, &a->io);
}

void acceptor_stop(struct acceptor *a)
{
	ev_io_stop(a->loop, &a->io);
	ev_timer_stop(a->loop, &a->retry);
	a->full = false;
}

void acceptor_resume(struct acceptor *a)
{
	if (!a->full || is_behind(a) || (is_still_full(a) && a->group->limits.when_full == FULL_WAIT))
		return;
	go_on(a);
}
