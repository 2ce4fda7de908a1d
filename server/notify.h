/* SPDX-License-Identifier: MIT */
/* What the service manager is told (sd_notify(3)), if there is one: the state of the service, and a line for
 * people. The watchdog (watchdog.h) and descriptors to keep (handover.h) are told of elsewhere. Main thread.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <sys/types.h>

struct config;
struct worker;

/* Every worker serves @config. */
void notify_ready(const struct config *config, const struct worker *workers, unsigned int nworkers);
void notify_reloading(void);
/* It serves as before, since @what failed. */
void notify_unchanged(const char *what);
/* It serves by process @pid from now on, which is its main process. */
void notify_successor(pid_t pid);
void notify_stopping(void);

#endif
