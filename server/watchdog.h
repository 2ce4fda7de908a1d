/* SPDX-License-Identifier: MIT */
/*
 * The service manager's watchdog (sd_watchdog_enabled(3)): fed only while every worker's loop turns and its
 * ring carries out operations (conn/ring_probe.h), and threads take what waits for them.
 */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <ev.h>
#include <stdbool.h>

struct crew;
struct worker;

struct watchdog {
	ev_timer timer;
	struct worker *workers;
	unsigned int nworkers;
	struct crew *crew; /* or NULL */
};

/*
 * The maximum time between beats of a worker, in seconds, so that the watchdog sees several each time it
 * looks; the same where there is none.
 */
double watchdog_beat(void);
bool watchdog_is_set(void);
/* Feeds it from @loop, if there is one, every half of its period. The rest stays the caller's and outlives
 * @loop. */
void watchdog_start(struct watchdog *dog, struct ev_loop *loop, struct worker *workers, unsigned int nworkers,
		    struct crew *crew);
/* It is another process's to feed. */
void watchdog_stop(struct watchdog *dog, struct ev_loop *loop);

#endif
