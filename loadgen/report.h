/* SPDX-License-Identifier: MIT */
/* What the user gets to see of a run. Loop thread only. */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stdio.h>

struct run;

/* Opens --csv and tries the other files, so that no run ends in vain. 0, or -errno with why. */
int report_open(struct run *run, char *why);
void report_close(struct run *run);

/* Told by the loop: it begins; the measured interval begins; a turn is over; all is counted; all is over. */
void report_start(struct run *run);
void report_measure(struct run *run);
void report_tick(struct run *run);
void report_count(struct run *run);
void report_end(struct run *run);

/* The report for the eye. */
void report_print(const struct run *run, FILE *to);

/*
 * One line that says why the run is no success, into why[RUN_WHY_LEN]; false: it is one. The order of
 * importance: connections that are missing, errors, an invalid measurement.
 */
bool report_failure(const struct run *run, char *why);

/* Open loop: did the load generator keep its own plan? */
bool report_is_valid(const struct run *run);

/* Seconds of the measured interval. */
double report_seconds(const struct run *run);

/* json.c, hgrm.c: 0 or -errno, with why. "-" is standard output. */
int json_write(const struct run *run, const char *file, char *why);
int hgrm_write(const struct run *run, const char *file, char *why);

#endif
