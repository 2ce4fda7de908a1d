/* SPDX-License-Identifier: MIT */
/*
 * Owns conn.deadline_class, deadline_us, deadline_link, moved, looks and taken.
 *
 * A peer that reads steadily takes what its socket's buffer holds long before an operation completes here. So
 * a deadline that output postpones is not the end: each is looked at several times within its timeout, and
 * what the peer has acknowledged counts. Nothing is asked of a connection that moves.
 */
#include "deadline.h"

#include "server/settings.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* How many looks without progress make up the timeout. Another goes before them, to see where it stands. */
#define WRITE_LOOKS 4

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
	for (int i = 0; i < DEADLINE_NCLASSES; i++)
		TAILQ_INIT(&shard->deadlines[i]);
}

static enum deadline_class class_of(const struct conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_HANDSHAKE:
		return DEADLINE_HANDSHAKE;
	case CONN_SERVE:
		if (c->wr.state != OP_IDLE)
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
	return class == DEADLINE_WRITE ? WRITE_LOOKS : 1;
}

/* Appends @c to the list of @class, all of which wait for the same time. */
static void append(struct conn *c, enum deadline_class class)
{
	struct shard *shard = c->shard;

	c->deadline_class = (uint8_t) class;
	c->deadline_us = shard->now_us + shard->settings->timeout_us[class] / looks_of(class);
	TAILQ_INSERT_TAIL(&shard->deadlines[class], c, deadline_link);
}

static void arm(struct conn *c, enum deadline_class class)
{
	deadline_clear(c);
	c->looks = 0;
	if (class != DEADLINE_NONE && c->shard->settings->timeout_us[class])
		append(c, class);
}

/* Bytes in the socket that the peer has not acknowledged. */
static int unacknowledged(const struct conn *c)
{
	int n;

	return ioctl(c->fd, SIOCOUTQ, &n) ? 0 : n;
}

/* A number that changes when the peer acknowledges bytes. */
static uint32_t taken_by_peer(const struct conn *c)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		return (uint32_t)info.tcpi_bytes_acked;
	return -(uint32_t)unacknowledged(c);
}

/* Whether @c, whose deadline of @class has passed, goes on after a look at what the peer took. */
static bool goes_on(struct conn *c, enum deadline_class class)
{
	uint32_t taken;

	if (class == DEADLINE_LINGER && !unacknowledged(c))
		return false;
	taken = taken_by_peer(c);
	c->looks = c->looks && taken == c->taken ? c->looks + 1 : 1;
	c->taken = taken;
	return c->looks <= looks_of(class);
}

void deadline_update(struct conn *c)
{
	enum deadline_class class = class_of(c);

	if (c->deadline_class != class || c->moved & classes[class].postponed_by)
		arm(c, class);
	c->moved = MOVED_NOTHING;
}

void deadline_clear(struct conn *c)
{
	if (c->deadline_class != DEADLINE_NONE)
		TAILQ_REMOVE(&c->shard->deadlines[c->deadline_class], c, deadline_link);
	c->deadline_class = DEADLINE_NONE;
}

enum close_reason deadline_reason(enum deadline_class class)
{
	return classes[class].reason;
}

bool deadline_holds(const struct conn *c, enum close_reason reason)
{
	enum deadline_class class = class_of(c);

	return classes[class].reason == reason && !(c->moved & classes[class].postponed_by);
}

uint64_t deadline_expire(struct shard *shard, enum deadline_class class, deadline_expired *expired)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&shard->deadlines[class]))) {
		conn_check(c);
		if (c->deadline_us > shard->now_us)
			return c->deadline_us;
		deadline_clear(c);
		if ((class == DEADLINE_WRITE || class == DEADLINE_LINGER) && goes_on(c, class))
			append(c, class);
		else
			expired(c, class);
	}
	return 0;
}

void deadline_rearm(struct shard *shard)
{
	struct conn *c;

	/* From its state: without a timeout until now, it has no class. */
	LIST_FOREACH (c, &shard->conns, link)
		arm(c, c->cancel_reason == CLOSE_NONE ? class_of(c) : DEADLINE_NONE);
}

struct conn *deadline_most_idle(struct shard *shard)
{
	return TAILQ_FIRST(&shard->deadlines[DEADLINE_IDLE]);
}
