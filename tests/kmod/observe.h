/* SPDX-License-Identifier: MIT */
/* What the kernel tells of its own doings: tracefs, and files of a line or more. Used by one thread. */
#ifndef TAIO_TESTS_KMOD_OBSERVE_H
#define TAIO_TESTS_KMOD_OBSERVE_H

#include "tests/case/check.h"

#include <stdbool.h>
#include <sys/types.h>

/* A trace instance of the test's own. Each event is "system:name"; NULL ends the list. */
void trace_start(const char *const *events);
/* Ends it and gives the lines, to be freed. */
char *trace_stop(void);

/* The whole file, to be freed; a file that cannot be read fails the case. */
char *file_text(const char *path);
/* false: errno tells. */
bool file_put(const char *path, const char *text);
/* Waits until a thread of this process sleeps, in whatever it has begun. */
void until_asleep_(pid_t tid);
#define until_asleep(tid) (HERE(), until_asleep_(tid))

#endif
