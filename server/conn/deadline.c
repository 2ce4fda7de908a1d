/* SPDX-License-Identifier: MIT */
/* Owns conn.deadline_class, deadline_us, deadline_link and moved. */
#include "deadline.h"

#include "server/settings.h"

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

static void arm(struct conn *c, enum deadline_class class)
{
	struct shard *shard = c->shard;

	deadline_clear(c);
	if (class == DEADLINE_NONE || !shard->settings->timeout_us[class])
		return;
	c->deadline_class = (uint8_t) class;
	c->deadline_us = shard->now_us + shard->settings->timeout_us[class];
	TAILQ_INSERT_TAIL(&shard->deadlines[class], c, deadline_link);
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
		expired(c, class);
	}
	return 0;
}

void deadline_rearm(struct shard *shard)
{
	struct conn *c;

	LIST_FOREACH (c, &shard->conns, link)
		arm(c, (enum deadline_class)c->deadline_class);
}

struct conn *deadline_most_idle(struct shard *shard)
{
	return TAILQ_FIRST(&shard->deadlines[DEADLINE_IDLE]);
}
