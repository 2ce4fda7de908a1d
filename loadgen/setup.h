/* SPDX-License-Identifier: MIT */
/* What a run needs before its loop, and gives back after it. */
#ifndef SETUP_H
#define SETUP_H

struct mode;
struct run;
struct settings;

/*
 * Checks @set against @mode and @target, raises RLIMIT_NOFILE, opens the ring and allocates the connections.
 * 0, or with why[WHY_LEN]: -EINVAL a usage error, another -errno what failed; nothing is left open then.
 */
int run_open(struct run *run, const struct settings *set, const struct mode *mode, const char *target,
	     char *why);
void run_close(struct run *run);

#endif
