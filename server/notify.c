/* SPDX-License-Identifier: MIT */
#include "notify.h"

#include "aio/taio.h"
#include "base/clock.h"
#include "config.h"
#include "worker.h"

#include <systemd/sd-daemon.h>

void notify_ready(const struct config *config, const struct worker *workers, unsigned int nworkers)
{
	unsigned int n = config->nlisteners;

	sd_notify(0, "READY=1");
	sd_notifyf(0, "STATUS=%u listener%s, %u worker%s, engine %s", n, n == 1 ? "" : "s", nworkers,
		   nworkers == 1 ? "" : "s", taio_name(workers[0].shard.ring));
}

/* With Type=notify-reload the manager waits for a READY=1 that is later than this. */
void notify_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_us());
}

void notify_unchanged(const char *what)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", what);
}

void notify_successor(pid_t pid)
{
	sd_notifyf(0, "MAINPID=%d\nREADY=1", (int)pid);
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=draining");
}
