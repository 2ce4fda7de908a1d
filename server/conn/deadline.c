/* SPDX-License-Identifier: MIT */
/*
 * Owns conn.deadline_class, deadline_us, deadline_link, moved, looks and taken; watch and is_late.
 *
 * A peer that reads steadily takes what its socket's buffer holds long before an operation completes here. So
 * a deadline that output postpones is not the end: each is looked at several times within its timeout, and
 * what the peer has acknowledged counts. Nothing is asked of a connection that moves.
 *
 * The limits of a request belong to its service, and hold whatever else the connection waits for; and what
 * moves too slowly moves. So these are no classes: a connection with a request under way, or with output
 * where that must be taken at a minimum rate, is watched: looked at now and then. So is one that borrows
 * memory to read into, which goes back once nothing arrives any more.
 */
#include "deadline.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* How many looks without progress make up the timeout. Another goes before them, to see where it stands. */
#define LOOKS 4

/* Between looks at what is watched: by so much its limits are exceeded at most. */
#define LOOK_US 250000

/* send-min-rate is averaged over this long. */
#define SEND_WINDOW_US 20000000

enum { BY_NOTHING = MOVED_NOTHING, BY_INPUT = MOVED_INPUT, BY_OUTPUT = MOVED_OUTPUT };

static const struct {
	enum close_reason reason;
	unsigned int postponed_by; /* MOVED_*, or-ed */
} classes[] = {
#define DEADLINE_ROW(CLASS, name, deflt, min, reason, postponed_by, ...)                                     \
	[DEADLINE_##CLASS] = {CLOSE_##reason, BY_##postponed_by},
	TIMEOUTS(DEADLINE_ROW)
#undef DEADLINE_ROW
};

void deadline_init(struct shard *shard)
{
	LIST_INIT(&shard->groups);
	TAILQ_INIT(&shard->late);
	STAILQ_INIT(&shard->woken);
	TAILQ_INIT(&shard->watched);
}

static enum deadline_class class_of(const struct conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_CONNECT:
		return DEADLINE_CONNECT;
	case CONN_PROXY:
		return DEADLINE_HEADER;
	case CONN_HANDSHAKE:
	case CONN_AWAY:
		return DEADLINE_HANDSHAKE;
	case CONN_SERVE:
		if (!op_is_idle(&c->wr))
			return DEADLINE_WRITE;
		return c->endpoint->service->phase(c->session) == PHASE_HEAD ? DEADLINE_HEADER
									     : DEADLINE_IDLE;
	case CONN_FLUSH:
		return DEADLINE_WRITE;
	case CONN_LINGER:
		return DEADLINE_LINGER;
	case CONN_CLOSING:
	case CONN_NSTATES:
		break;
	}
	return DEADLINE_NONE;
}

/* How many looks a deadline of @class takes to pass. */
static unsigned int looks_of(enum deadline_class class)
{
	return classes[class].postponed_by == BY_OUTPUT ? LOOKS : 1;
}

static void note_first(struct shard *shard, enum deadline_class class, uint64_t deadline_us)
{
	uint64_t *soonest_us = &shard->soonest_us[class];

	if (!*soonest_us || deadline_us < *soonest_us)
		*soonest_us = deadline_us;
}

/* Appends @c to its group's list of @class, all of which wait for the same time; not if its timeout is off.
 */
static void append(struct conn *c, enum deadline_class class)
{
	struct conn_queue *list = &c->group->deadlines[class];
	uint64_t timeout_us = c->group->limits.timeout_us[class];

	if (!timeout_us)
		return;
	c->deadline_class = (uint8_t) class;
	c->deadline_us = c->shard->now_us + timeout_us / looks_of(class);
	if (TAILQ_EMPTY(list))
		note_first(c->shard, class, c->deadline_us);
	TAILQ_INSERT_TAIL(list, c, deadline_link);
}

static struct conn_queue *list_of(const struct conn *c)
{
	return c->is_late ? &c->shard->late : &c->group->deadlines[c->deadline_class];
}

static void disarm(struct conn *c)
{
	if (c->deadline_class != DEADLINE_NONE)
		TAILQ_REMOVE(list_of(c), c, deadline_link);
	c->deadline_class = DEADLINE_NONE;
	c->is_late = false;
}

static void arm(struct conn *c, enum deadline_class class)
{
	disarm(c);
	c->looks = 0;
	if (class != DEADLINE_NONE)
		append(c, class);
}

/* Bytes in the socket that the peer has not acknowledged. */
static int unacknowledged(const struct conn *c)
{
	int n;

	return ioctl(c->fd, SIOCOUTQ, &n) ? 0 : n;
}

/* A number that changes when the peer acknowledges bytes. */
static uint64_t taken_by_peer(const struct conn *c)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		return info.tcpi_bytes_acked;
	return -(uint64_t)unacknowledged(c);
}

/* Whether the peer of @c has taken something since the last look, or enough looks remain to wait for. */
static bool takes(struct conn *c, enum deadline_class class)
{
	uint32_t taken = (uint32_t)taken_by_peer(c);

	c->looks = c->looks && taken == c->taken ? c->looks + 1 : 1;
	c->taken = taken;
	return c->looks <= looks_of(class);
}

/*
 * The class in which @c, whose deadline of @class has passed, waits on; NONE: it ends. While the peer has yet
 * to take what was sent, the connection is not idle: the write timeout counts, if there is one, and then the
 * idle timeout anew.
 */
static enum deadline_class waits_on(struct conn *c, enum deadline_class class)
{
	bool is_idle = class_of(c) == DEADLINE_IDLE;

	if (is_idle && unacknowledged(c) == 0) {
		c->looks = 0;
		return class == DEADLINE_IDLE ? DEADLINE_NONE : DEADLINE_IDLE;
	}
	if (class == DEADLINE_IDLE)
		return c->group->limits.timeout_us[DEADLINE_WRITE] ? DEADLINE_WRITE : DEADLINE_IDLE;
	return classes[class].postponed_by == BY_OUTPUT && takes(c, class) ? class : DEADLINE_NONE;
}

/* --- what is watched --- */

static bool has_request(const struct conn *c)
{
	const struct service *service = c->endpoint->service;

	return c->state == CONN_SERVE && service->limit && service->phase(c->session) != PHASE_IDLE;
}

/* Whether @c has output that the peer must take at a minimum rate. */
static bool has_paced_output(const struct conn *c)
{
	if (!c->group->limits.send_min_rate || c->state < CONN_SERVE || c->state == CONN_CLOSING)
		return false;
	return c->wr.state != OP_IDLE || c->deadline_class == DEADLINE_WRITE || c->state == CONN_LINGER;
}

static void watch_end(struct conn *c)
{
	if (!c->watch)
		return;
	TAILQ_REMOVE(&c->shard->watched, c->watch, link);
	free(c->watch);
	c->watch = NULL;
}

static void watch_append(struct shard *shard, struct watch *watch)
{
	watch->look_us = shard->now_us + LOOK_US;
	TAILQ_INSERT_TAIL(&shard->watched, watch, link);
}

static void watch_update(struct conn *c)
{
	bool is_wanted = has_request(c) || has_paced_output(c) || conn_borrows(c);

	if (!is_wanted) {
		watch_end(c);
		return;
	}
	if (c->watch)
		return;
	c->watch = calloc(1, sizeof(*c->watch));
	if (!c->watch)
		return; /* the next step tries again */
	c->watch->conn = c;
	watch_append(c->shard, c->watch);
}

/* Whether bytes of @c wait in its socket. */
static bool has_unread(const struct conn *c)
{
	int n;

	return ioctl(c->fd, FIONREAD, &n) == 0 && n > 0;
}

/*
 * The limit that the request of @c has broken, or CLOSE_NONE. After a stall of the machine or of the loop,
 * the bytes of a peer that has kept to its limits may all be there and unread: these are read first. But what
 * keeps coming is not waited for more than once.
 */
static enum close_reason request_limit(struct conn *c)
{
	enum close_reason reason = c->endpoint->service->limit(c->session);

	if (reason != CLOSE_NONE && (c->watch->is_late || !has_unread(c)))
		return reason;
	c->watch->is_late = reason != CLOSE_NONE;
	return CLOSE_NONE;
}

static void window_begin(struct conn *c)
{
	c->watch->since_us = c->shard->now_us;
	c->watch->taken = taken_by_peer(c);
}

static bool takes_too_slowly(struct conn *c)
{
	struct watch *watch = c->watch;
	uint64_t took_us = c->shard->now_us - watch->since_us;

	if (!has_paced_output(c) || !unacknowledged(c)) {
		watch->since_us = 0; /* there is nothing to take */
		return false;
	}
	if (watch->since_us && took_us < SEND_WINDOW_US)
		return false;
	if (watch->since_us &&
	    (taken_by_peer(c) - watch->taken) * 1000000 < c->group->limits.send_min_rate * took_us)
		return true;
	window_begin(c);
	return false;
}

/* The limit that @c breaks, at a look that is @late_us late; or CLOSE_NONE. */
static enum close_reason broken_limit(struct conn *c, uint64_t late_us)
{
	enum close_reason reason = has_request(c) ? request_limit(c) : CLOSE_NONE;

	if (late_us > LOOK_US) /* the loop has stalled, and sent nothing */
		c->watch->since_us = 0;
	if (reason == CLOSE_NONE && takes_too_slowly(c))
		reason = CLOSE_SEND_RATE;
	return reason;
}

uint64_t deadline_next_look(const struct shard *shard)
{
	const struct watch *watched = TAILQ_FIRST(&shard->watched);
	const struct conn *late = TAILQ_FIRST(&shard->late);

	if (!watched || !late)
		return watched ? watched->look_us : late ? late->deadline_us : 0;
	return watched->look_us < late->deadline_us ? watched->look_us : late->deadline_us;
}

/*
 * Memory that was borrowed to read into goes back if nothing has arrived since the last look. A read under
 * way is cancelled for that, and begins again: see conn.rereads.
 */
static void look_at_borrowed(struct conn *c)
{
	if (!conn_borrows(c) || c->in.len)
		return;
	if (c->has_read) {
		c->has_read = false;
		return;
	}
	c->read_full = false;
	c->nlarge = 0;
	if (op_is_idle(&c->rd))
		conn_shrink_input(c);
	else if (op_cancel(&c->rd, c->shard->ring))
		c->rereads = true;
}

static void look_at_watched(struct shard *shard, deadline_expired *expired)
{
	struct watch *watch;

	while ((watch = TAILQ_FIRST(&shard->watched)) && watch->look_us <= shard->now_us) {
		uint64_t late_us = shard->now_us - watch->look_us;
		enum close_reason reason = CLOSE_NONE;
		struct conn *c = watch->conn;

		conn_check(c);
		TAILQ_REMOVE(&shard->watched, watch, link);
		watch_append(shard, watch);
		if (c->cancel_reason == CLOSE_NONE)
			reason = broken_limit(c, late_us);
		if (reason != CLOSE_NONE)
			expired(c, reason);
		else if (c->cancel_reason == CLOSE_NONE)
			look_at_borrowed(c);
	}
}

/* The deadline of @c has passed. */
static void pass(struct conn *c, deadline_expired *expired)
{
	enum deadline_class class = (enum deadline_class)c->deadline_class, next;
	uint64_t late_us = c->shard->now_us - c->deadline_us;

	disarm(c);
	next = waits_on(c, class);
	if (next != DEADLINE_NONE) {
		append(c, next);
		watch_update(c);
	} else {
		times_add(&c->shard->times[TIME_lateness], late_us);
		expired(c, classes[class].reason);
	}
}

uint64_t deadline_look(struct shard *shard, deadline_expired *expired)
{
	struct conn *c;

	look_at_watched(shard, expired);
	while ((c = TAILQ_FIRST(&shard->late)) && c->deadline_us <= shard->now_us)
		pass(c, expired);
	return deadline_next_look(shard);
}

/* --- what applies --- */

/* Whether what is armed goes on for a connection to which @class applies. */
static bool applies_still(const struct conn *c, enum deadline_class class)
{
	if (c->moved & classes[class].postponed_by)
		return false;
	/* The write timeout of a connection that is idle otherwise: see waits_on(). */
	if (class == DEADLINE_IDLE && c->deadline_class == DEADLINE_WRITE)
		return c->moved == MOVED_NOTHING;
	return c->deadline_class == class;
}

void deadline_update(struct conn *c)
{
	enum deadline_class class = class_of(c);

	if (!applies_still(c, class))
		arm(c, class);
	c->moved = MOVED_NOTHING;
	watch_update(c);
}

void deadline_clear(struct conn *c)
{
	disarm(c);
	watch_end(c);
}

bool deadline_holds(struct conn *c, enum close_reason reason)
{
	enum deadline_class class = class_of(c);

	if (reason == CLOSE_REQUEST || reason == CLOSE_BODY_RATE)
		return c->watch && has_request(c) && request_limit(c) == reason;
	if (reason == CLOSE_SEND_RATE)
		return has_paced_output(c);
	return classes[class].reason == reason && !(c->moved & classes[class].postponed_by);
}

/*
 * Whether bytes that have arrived could end or postpone the deadline of @c, which has passed: it is late by a
 * look then, no more.
 */
static bool reads_first(const struct conn *c)
{
	switch ((enum deadline_class)c->deadline_class) {
	case DEADLINE_HANDSHAKE:
	case DEADLINE_HEADER:
	case DEADLINE_IDLE:
		return has_unread(c);
	default:
		return false;
	}
}

static void make_late(struct conn *c)
{
	struct shard *shard = c->shard;

	TAILQ_REMOVE(list_of(c), c, deadline_link);
	c->is_late = true;
	c->deadline_us = shard->now_us + LOOK_US;
	TAILQ_INSERT_TAIL(&shard->late, c, deadline_link);
}

/* Returns the group's next deadline of @class, or 0. */
static uint64_t expire_group(struct conn_group *group, enum deadline_class class, deadline_expired *expired)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&group->deadlines[class]))) {
		conn_check(c);
		if (c->deadline_us > c->shard->now_us)
			return c->deadline_us;
		if (reads_first(c))
			make_late(c);
		else
			pass(c, expired);
	}
	return 0;
}

/* The last connection of a group may end: a reference keeps the group at hand until its successor is known.
 */
uint64_t deadline_expire(struct shard *shard, enum deadline_class class, deadline_expired *expired)
{
	struct conn_group *group = LIST_FIRST(&shard->groups), *next;
	uint64_t soonest_us = 0;

	if (group)
		conn_group_get(group);
	for (; group; group = next) {
		uint64_t next_us = expire_group(group, class, expired);

		if (next_us && (!soonest_us || next_us < soonest_us))
			soonest_us = next_us;
		next = LIST_NEXT(group, link);
		if (next)
			conn_group_get(next);
		conn_group_put(group);
	}
	return soonest_us;
}

/* --- other limits --- */

void deadline_set_limits(struct conn_group *group, const struct limits *limits)
{
	group->is_changed =
		group->is_changed ||
		memcmp(group->limits.timeout_us, limits->timeout_us, sizeof(limits->timeout_us)) != 0 ||
		group->limits.send_min_rate != limits->send_min_rate;
	group->limits = *limits;
}

/* No deadline of the old limits may be left in a list when the first of the new ones is appended. */
void deadline_rearm(struct shard *shard)
{
	struct conn_group *group;
	struct conn *c;

	LIST_FOREACH (c, &shard->conns, link)
		if (c->group->is_changed)
			disarm(c);
	LIST_FOREACH (c, &shard->conns, link) {
		if (!c->group->is_changed)
			continue;
		/* From its state: without a timeout until now, it has no class. */
		arm(c, c->cancel_reason == CLOSE_NONE ? class_of(c) : DEADLINE_NONE);
		watch_update(c);
	}
	LIST_FOREACH (group, &shard->groups, link)
		group->is_changed = false;
}

/* Since when the first in the group's list has been idle, or UINT64_MAX. */
static uint64_t idle_since(const struct conn_group *group)
{
	const struct conn *c = TAILQ_FIRST(&group->deadlines[DEADLINE_IDLE]);

	return c ? c->deadline_us - group->limits.timeout_us[DEADLINE_IDLE] : UINT64_MAX;
}

struct conn *deadline_most_idle_of(const struct conn_group *group)
{
	struct conn *c;

	/* With a backend's connection its client's would have to end; one that ends already makes no more
	 * room. */
	TAILQ_FOREACH (c, &group->deadlines[DEADLINE_IDLE], deadline_link)
		if (!c->is_outgoing && c->cancel_reason == CLOSE_NONE && c->asked == CLOSE_NONE)
			return c;
	return NULL;
}

struct conn *deadline_most_idle(const struct shard *shard)
{
	const struct conn_group *group, *best = NULL;

	LIST_FOREACH (group, &shard->groups, link)
		if (!best || idle_since(group) < idle_since(best))
			best = group;
	return best ? deadline_most_idle_of(best) : NULL;
}
