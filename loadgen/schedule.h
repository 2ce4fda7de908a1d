/* SPDX-License-Identifier: MIT */
/*
 * Decides who begins the next request or cycle, and when. Whoever may begin has an entry that waits here. In
 * the closed loop it is due at once; in the open loop the next planned request or cycle goes to the entry
 * that has waited longest. Knows nothing of connections: an entry is embedded in what it stands for.
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include "pace.h"
#include "timers.h"

#include <stdint.h>

enum entry_state {
	ENTRY_IDLE,
	ENTRY_DELAYED, /* ready when its delay has passed */
	ENTRY_READY,   /* may begin */
	ENTRY_BEGUN,   /* schedule_begin() without schedule_end() yet */
};

/* Only schedule.c writes it. All zero is an idle one. */
struct schedule_entry {
	uint8_t state;			  /* enum entry_state */
	TAILQ_ENTRY(schedule_entry) link; /* READY */
	struct timer timer;		  /* DELAYED */
	uint64_t ready_ns;		  /* since when it could have begun */
	uint64_t carry_ns;		  /* how late the last one was through our own fault */
	uint64_t planned_ns, sent_ns;	  /* of what has begun */
};

struct schedule {
	TAILQ_HEAD(, schedule_entry) ready; /* the longest waiting first */
	uint32_t nready, nbegun;
	struct timers delays;
	struct pace pace;
	uint64_t end_ns;     /* what is planned for then or later does not begin; set by the owner */
	uint64_t notable_ns; /* our own delays below this do not matter */
};

/* @delay_ns: of schedule_add_later(). */
void schedule_init(struct schedule *schedule, uint64_t delay_ns, uint64_t notable_ns);

/* Plans from @now_ns on. @rate: per second; 0: closed loop. */
void schedule_start(struct schedule *schedule, unsigned int rate, uint64_t now_ns);

/* IDLE to READY: the entry may begin and could have done so since @since_ns. */
void schedule_add(struct schedule *schedule, struct schedule_entry *entry, uint64_t since_ns);

/* IDLE to DELAYED. */
void schedule_add_later(struct schedule *schedule, struct schedule_entry *entry, uint64_t now_ns);

/* READY or DELAYED to IDLE; does nothing in other states. */
void schedule_remove(struct schedule *schedule, struct schedule_entry *entry);

/* DELAYED to READY for those whose delay has passed. */
void schedule_expire(struct schedule *schedule, uint64_t now_ns, uint64_t since_ns);

/* READY to IDLE: takes the entry that is to begin now, with the time planned for that, or NULL. */
struct schedule_entry *schedule_take(struct schedule *schedule, uint64_t now_ns, uint64_t *planned_ns);

/*
 * IDLE to BEGUN: what was planned for @planned_ns is sent now. Returns the send lag: how long it is delayed
 * by us rather than by the server.
 */
uint64_t schedule_begin(struct schedule *schedule, struct schedule_entry *entry, uint64_t planned_ns,
			uint64_t now_ns);

/* BEGUN to IDLE. */
void schedule_end(struct schedule *schedule, struct schedule_entry *entry);

/* When schedule_take() will have an entry if nothing else happens: 0 for now, NEVER_NS. */
uint64_t schedule_take_ns(const struct schedule *schedule, uint64_t now_ns);

/* When schedule_expire() will have something to do. */
static inline uint64_t schedule_expire_ns(const struct schedule *schedule)
{
	return timers_next(&schedule->delays);
}

/* Open loop: does anything planned remain to be sent? */
static inline bool schedule_has_plan(const struct schedule *schedule)
{
	return schedule->pace.rate && pace_next(&schedule->pace) < schedule->end_ns;
}

#endif
