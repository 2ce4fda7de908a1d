/* SPDX-License-Identifier: MIT */
/*
 * Time, children and threads. Functions that sleep do so until their condition or time, however often they
 * are interrupted: policy TASK of the module interrupts the submitter's system calls as a signal does.
 */
#ifndef TAIO_CASE_PROCESS_H
#define TAIO_CASE_PROCESS_H

#include "tests/case/check.h"

#include <stdint.h>
#include <sys/types.h>

int64_t now_ms(void);
void pause_ms(unsigned int ms);

/* Pins the calling thread, and threads that it will create. */
void pin_to_cpu(unsigned int cpu);

/* A child that runs @run and exits with 0; it never returns to the runner, and ends with its parent. */
pid_t child_start(void (*run)(void *arg), void *arg);
/* wait(2) status of @pid into @status; false if it has not ended in time. */
bool child_ends(pid_t pid, int timeout_ms, int *status);
/* Waits for the child to end. If it does not in time, fails the case and prints the states of its tasks. */
int child_reap_(pid_t pid, int timeout_ms);
/* State, wait channel and kernel stack of each of its threads, on stdout. */
void stacks_print(pid_t pid);

/* Zeroed memory that children share; never freed. */
void *shared_make(size_t nbytes);

/* The number of names in a directory, including "." and "..". */
unsigned int entries_of(const char *path);

/* How many threads of this process have that name. */
unsigned int threads_called(const char *name);

#define child_reap(pid, timeout_ms) (HERE(), child_reap_(pid, timeout_ms))

#endif
