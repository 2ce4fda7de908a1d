/* SPDX-License-Identifier: MIT */
/*
 * A list of deadlines, each the same time after it was armed: appending keeps the list sorted, so arming and
 * disarming are O(1).
 */
#ifndef TIMERS_H
#define TIMERS_H

#include "base/clock.h"

#include <stdbool.h>
#include <sys/queue.h>

struct timer {
	TAILQ_ENTRY(timer) link;
	uint64_t at_ns; /* 0: not armed */
};

struct timers {
	TAILQ_HEAD(timer_queue, timer) queue;
	uint64_t after_ns;
};

static inline void timers_init(struct timers *timers, uint64_t after_ns)
{
	TAILQ_INIT(&timers->queue);
	timers->after_ns = after_ns;
}

static inline void timer_disarm(struct timers *timers, struct timer *timer)
{
	if (!timer->at_ns)
		return;
	TAILQ_REMOVE(&timers->queue, timer, link);
	timer->at_ns = 0;
}

/* @now_ns must not run backwards from call to call. */
static inline void timer_arm(struct timers *timers, struct timer *timer, uint64_t now_ns)
{
	timer_disarm(timers, timer);
	timer->at_ns = now_ns + timers->after_ns;
	TAILQ_INSERT_TAIL(&timers->queue, timer, link);
}

static inline uint64_t timers_next(const struct timers *timers)
{
	const struct timer *first = TAILQ_FIRST(&timers->queue);

	return first ? first->at_ns : NEVER_NS;
}

/* Removes the first one that is due and returns it, or NULL. */
static inline struct timer *timers_take(struct timers *timers, uint64_t now_ns)
{
	struct timer *first = TAILQ_FIRST(&timers->queue);

	if (!first || first->at_ns > now_ns)
		return NULL;
	timer_disarm(timers, first);
	return first;
}

#endif
