/* SPDX-License-Identifier: MIT */
/* Worker's thread only. Owns conn.deadline_class, deadline_us and deadline_link. */
#include "deadline.h"

void idle_init(struct shard *shard)
{
	for (int i = 0; i < DEADLINE_NCLASSES; i++)
		TAILQ_INIT(&shard->deadlines[i]);
}

void idle_arm(struct conn *c, enum deadline_class class)
{
	struct shard *shard = c->shard;

	if (c->deadline_class != DEADLINE_NONE)
		TAILQ_REMOVE(&shard->deadlines[c->deadline_class], c, deadline_link);
	if (class != DEADLINE_NONE && !shard->timeouts_us[class])
		class = DEADLINE_NONE;
	c->deadline_class = (uint8_t) class;
	if (class == DEADLINE_NONE)
		return;
	c->deadline_us = shard->now_us + shard->timeouts_us[class];
	TAILQ_INSERT_TAIL(&shard->deadlines[class], c, deadline_link);
}

void idle_keep(struct conn *c, enum deadline_class class)
{
	if (c->deadline_class != class)
		idle_arm(c, class);
}

uint64_t idle_expire(struct shard *shard, enum deadline_class class, idle_expired *expired)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&shard->deadlines[class]))) {
		conn_check(c);
		if (c->deadline_us > shard->now_us)
			return c->deadline_us;
		idle_arm(c, DEADLINE_NONE);
		expired(c);
	}
	return 0;
}

struct conn *idle_oldest(struct shard *shard)
{
	return TAILQ_FIRST(&shard->deadlines[DEADLINE_IDLE]);
}
