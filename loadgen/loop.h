/* SPDX-License-Identifier: MIT */
/* The loop of a run. */
#ifndef LOOP_H
#define LOOP_H

struct run;

/* Runs all phases. 0, or -errno with why[WHY_LEN]: the ring failed. Results are in run->stats. */
int loop_run(struct run *run, char *why);

#endif
