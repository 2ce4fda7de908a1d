/* SPDX-License-Identifier: MIT */
#include "watchdog.h"

#include "crew.h"
#include "log.h"
#include "worker.h"

#include <systemd/sd-daemon.h>

/* Beats of a turning loop per period, in which the watchdog looks twice; and the maximum time between beats,
 * in seconds, with or without a watchdog. */
#define BEATS	   8
#define BEAT_MAX_S 1.

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct watchdog *dog = timer->data;
	bool alive = true;

	for (unsigned int i = 0; i < dog->nworkers; i++) {
		uint64_t beats = atomic_load(&dog->workers[i].beats);

		alive = alive && (beats != dog->workers[i].beats_seen || atomic_load(&dog->workers[i].done));
		dog->workers[i].beats_seen = beats;
	}
	if (!alive)
		log_error("a worker's loop, or its ring, is stuck: not feeding the watchdog");
	else if (dog->crew && crew_is_stuck(dog->crew))
		log_error("the threads for handshakes are stuck: not feeding the watchdog");
	else
		sd_notify(0, "WATCHDOG=1");
}

/* In seconds, as the service manager set it; 0: there is none. */
static double watchdog_period(void)
{
	uint64_t period_us;

	return sd_watchdog_enabled(0, &period_us) > 0 ? (double)period_us / 1e6 : 0.;
}

double watchdog_beat(void)
{
	double period_s = watchdog_period();

	return period_s > 0 && period_s < BEATS * BEAT_MAX_S ? period_s / BEATS : BEAT_MAX_S;
}

bool watchdog_is_set(void)
{
	return watchdog_period() > 0;
}

void watchdog_start(struct watchdog *dog, struct ev_loop *loop, struct worker *workers, unsigned int nworkers,
		    struct crew *crew)
{
	double period_s = watchdog_period();

	*dog = (struct watchdog){.workers = workers, .nworkers = nworkers, .crew = crew};
	ev_timer_init(&dog->timer, on_watchdog, period_s / 2, period_s / 2);
	if (period_s <= 0)
		return;
	dog->timer.data = dog;
	ev_timer_start(loop, &dog->timer);
	/* After an upgrade, the process before has fed it last, up to half of its period ago. */
	sd_notify(0, "WATCHDOG=1");
}

void watchdog_stop(struct watchdog *dog, struct ev_loop *loop)
{
	ev_timer_stop(loop, &dog->timer);
}
