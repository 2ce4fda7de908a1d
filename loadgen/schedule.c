/* SPDX-License-Identifier: MIT */
/* Invariant: nready and nbegun count the entries in those states; schedule.ready holds the READY ones. */
#include "schedule.h"

#include <assert.h>
#include <stddef.h>

void schedule_init(struct schedule *schedule, uint64_t delay_ns, uint64_t notable_ns)
{
	*schedule = (struct schedule){.end_ns = NEVER_NS, .notable_ns = notable_ns};
	TAILQ_INIT(&schedule->ready);
	timers_init(&schedule->delays, delay_ns);
}

void schedule_start(struct schedule *schedule, unsigned int rate, uint64_t now_ns)
{
	pace_start(&schedule->pace, rate, now_ns);
}

void schedule_add(struct schedule *schedule, struct schedule_entry *entry, uint64_t since_ns)
{
	assert(entry->state == ENTRY_IDLE);
	entry->state = ENTRY_READY;
	entry->ready_ns = since_ns;
	schedule->nready++;
	TAILQ_INSERT_TAIL(&schedule->ready, entry, link);
}

void schedule_add_later(struct schedule *schedule, struct schedule_entry *entry, uint64_t now_ns)
{
	assert(entry->state == ENTRY_IDLE);
	entry->state = ENTRY_DELAYED;
	timer_arm(&schedule->delays, &entry->timer, now_ns);
}

void schedule_remove(struct schedule *schedule, struct schedule_entry *entry)
{
	if (entry->state == ENTRY_READY) {
		schedule->nready--;
		TAILQ_REMOVE(&schedule->ready, entry, link);
	} else if (entry->state == ENTRY_DELAYED) {
		timer_disarm(&schedule->delays, &entry->timer);
	} else {
		return;
	}
	entry->state = ENTRY_IDLE;
}

void schedule_expire(struct schedule *schedule, uint64_t now_ns, uint64_t since_ns)
{
	struct schedule_entry *entry;
	struct timer *timer;

	while ((timer = timers_take(&schedule->delays, now_ns))) {
		entry = (struct schedule_entry *)((char *)timer - offsetof(struct schedule_entry, timer));
		entry->state = ENTRY_IDLE;
		schedule_add(schedule, entry, since_ns);
	}
}

/* When the next request or cycle may begin; NEVER_NS if there is none. */
static uint64_t next_ns(const struct schedule *schedule, uint64_t now_ns)
{
	if (schedule->pace.rate)
		return schedule_has_plan(schedule) ? pace_next(&schedule->pace) : NEVER_NS;
	return now_ns < schedule->end_ns ? 0 : NEVER_NS;
}

uint64_t schedule_take_ns(const struct schedule *schedule, uint64_t now_ns)
{
	return schedule->nready ? next_ns(schedule, now_ns) : NEVER_NS;
}

struct schedule_entry *schedule_take(struct schedule *schedule, uint64_t now_ns, uint64_t *planned_ns)
{
	struct schedule_entry *entry = TAILQ_FIRST(&schedule->ready);

	if (!entry || next_ns(schedule, now_ns) > now_ns)
		return NULL;
	schedule_remove(schedule, entry);
	*planned_ns = schedule->pace.rate ? pace_take(&schedule->pace) : now_ns;
	return entry;
}

/*
 * How late a request is sent through our own fault. If its connection was free and it is still late, that is
 * our fault, and so is the resulting delay of those that queue behind it: the connection would have been
 * ready that much sooner. Waiting for a busy connection is the server's fault and does not count. The usual
 * small delays of a turn do not add up over the requests that wait for one connection.
 */
static uint64_t own_lag_ns(const struct schedule *schedule, struct schedule_entry *entry, uint64_t planned_ns,
			   uint64_t now_ns)
{
	uint64_t ready_ns = entry->ready_ns - entry->carry_ns;
	uint64_t lag_ns = now_ns - (planned_ns > ready_ns ? planned_ns : ready_ns);

	if (planned_ns >= ready_ns || lag_ns > entry->carry_ns + schedule->notable_ns)
		entry->carry_ns = lag_ns;
	return lag_ns;
}

uint64_t schedule_begin(struct schedule *schedule, struct schedule_entry *entry, uint64_t planned_ns,
			uint64_t now_ns)
{
	assert(entry->state == ENTRY_IDLE);
	entry->state = ENTRY_BEGUN;
	schedule->nbegun++;
	entry->planned_ns = planned_ns;
	entry->sent_ns = now_ns;
	return schedule->pace.rate ? own_lag_ns(schedule, entry, planned_ns, now_ns) : 0;
}

void schedule_end(struct schedule *schedule, struct schedule_entry *entry)
{
	assert(entry->state == ENTRY_BEGUN);
	entry->state = ENTRY_IDLE;
	schedule->nbegun--;
}
