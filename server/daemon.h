/* SPDX-License-Identifier: MIT */
/*
 * The daemon from opening its sockets to its end: workers, signals, reload, watchdog, and notifications to
 * the service manager. Main thread; while the workers run, its loop handles only signals, the watchdog and
 * the end of workers.
 */
#ifndef DAEMON_H
#define DAEMON_H

struct config;

/*
 * Runs until a signal ends it. @config, whose listeners are parsed, becomes the daemon's; @argv is read again
 * on SIGHUP. 0 after an orderly end, -errno if it could not start (the reason is logged).
 */
int daemon_run(struct config *config, int argc, char **argv);

#endif
