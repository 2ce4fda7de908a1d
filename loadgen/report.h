/* SPDX-License-Identifier: MIT */
/* What the user sees of a run: progress, the time series, the report and the verdict. */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stdio.h>

struct run;

/* Opens --csv and tries the other files, so that no run is wasted. 0, or -errno with why[WHY_LEN]. */
int report_open(struct run *run, char *why);
void report_close(struct run *run);

/* Called when the run begins, the measured interval begins, a turn is over, all is counted, all is over. */
void report_start(struct run *run);
void report_measure(struct run *run);
void report_tick(struct run *run);
void report_count(struct run *run);
void report_end(struct run *run);

/* Prints the report for people to read. */
void report_print(const struct run *run, FILE *to);

/*
 * Writes why the run failed to why[WHY_LEN], as one line; false: it is a success. In order of importance:
 * connections that are missing, a server that is gone, errors, an invalid measurement.
 */
bool report_failure(const struct run *run, char *why);

/* Open loop: did the load generator keep its own plan? */
bool report_is_valid(const struct run *run);

/* Length of the measured interval. */
double report_seconds(const struct run *run);

#endif
