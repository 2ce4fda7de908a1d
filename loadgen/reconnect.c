/* SPDX-License-Identifier: MIT */
/* Invariant: reconnect.waiting holds the WAITING entries, and nwaiting counts them. */
#include "reconnect.h"

#include <assert.h>

void reconnect_init(struct reconnect *reconnect, unsigned int rate)
{
	*reconnect = (struct reconnect){0};
	TAILQ_INIT(&reconnect->waiting);
	pace_start(&reconnect->pace, rate, 0);
}

void reconnect_add(struct reconnect *reconnect, struct reconnect_entry *entry)
{
	assert(entry->state == RECONNECT_NONE);
	entry->state = RECONNECT_WAITING;
	reconnect->nwaiting++;
	TAILQ_INSERT_TAIL(&reconnect->waiting, entry, link);
}

uint64_t reconnect_take_ns(const struct reconnect *reconnect, bool opening)
{
	if (!reconnect->nwaiting)
		return NEVER_NS;
	if (!reconnect->delay_ns)
		return pace_next(&reconnect->pace);
	return opening ? NEVER_NS : reconnect->next_ns;
}

/* The rate is a maximum: a time without reconnects is not followed by a burst. */
static void take_pace(struct pace *pace, uint64_t now_ns)
{
	if (!pace->rate)
		return;
	if (pace_next(pace) < now_ns)
		pace_start(pace, (unsigned int)pace->rate, now_ns);
	pace_take(pace);
}

struct reconnect_entry *reconnect_take(struct reconnect *reconnect, uint64_t now_ns)
{
	struct reconnect_entry *entry = TAILQ_FIRST(&reconnect->waiting);

	assert(entry);
	TAILQ_REMOVE(&reconnect->waiting, entry, link);
	reconnect->nwaiting--;
	entry->state = RECONNECT_TRIAL;
	entry->delay_ns = reconnect->delay_ns;
	reconnect->next_ns = now_ns + reconnect->delay_ns;
	take_pace(&reconnect->pace, now_ns);
	return entry;
}

void reconnect_proved(struct reconnect *reconnect, struct reconnect_entry *entry)
{
	if (entry->state != RECONNECT_TRIAL)
		return;
	entry->state = RECONNECT_NONE;
	if (entry->delay_ns == reconnect->delay_ns)
		reconnect->delay_ns = 0;
}

/* Of all trials that began with the same delay, only the first to fail increases it. */
static void back_off(struct reconnect *reconnect, uint64_t tried_ns, uint64_t now_ns)
{
	uint64_t delay_ns = tried_ns ? 2 * tried_ns : RECONNECT_MIN_NS;

	if (tried_ns != reconnect->delay_ns)
		return;
	reconnect->delay_ns = delay_ns < RECONNECT_MAX_NS ? delay_ns : RECONNECT_MAX_NS;
	reconnect->next_ns = now_ns + reconnect->delay_ns;
}

void reconnect_ended(struct reconnect *reconnect, struct reconnect_entry *entry, bool failed, uint64_t now_ns)
{
	if (entry->state != RECONNECT_TRIAL)
		return;
	entry->state = RECONNECT_NONE;
	if (failed)
		back_off(reconnect, entry->delay_ns, now_ns);
}
