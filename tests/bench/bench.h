/* SPDX-License-Identifier: MIT */
/*
 * What scripts/bench-kmod cannot do itself in a guest: each command of kmod_bench measures one thing and
 * prints it for the script, as JSON, or for people (profile). No test: it ends with 0 once it has measured.
 * Built on the harness of tests/kmod, whose CHECK ends a run that is not what it should be.
 */
#ifndef TAIO_BENCH_H
#define TAIO_BENCH_H

#include "tests/kmod/kmod.h"

#include <stdint.h>

/* Times of one thing. */
struct samples {
	uint64_t *ns;
	size_t len, cap;
};

void samples_add(struct samples *s, uint64_t ns);
/* @part: 0 is the least, 0.5 the median, 1 the greatest. Sorts. */
uint64_t samples_at(struct samples *s, double part);
void samples_free(struct samples *s);

uint64_t now_ns(void);

/* A number of the command line; else a failure that names @what. */
long number_of(const char *text, const char *what);

/* helpers.c: the threads taio/N that there are, and the workers of unbound workqueues, to one processor. */
void helpers_pin(unsigned int cpu);
/* And to any. */
void helpers_free(void);
typedef void task_fn(int pid, const char *name, void *arg);
/* Calls @each for every kernel thread. */
void kthreads_each(task_fn *each, void *arg);
/* The first @len bytes of a file that has one line; false if it is not there (any more). */
bool line_read(const char *path, char *line, size_t len);

/* The module's policies, each with INLINE and without; kmod:X and kmod:X-noinline of libtaio. */
struct variant {
	const char *name;
	enum taio_policy_id policy;
	uint32_t flags;
};
#define VARIANTS 8
extern const struct variant variants[VARIANTS];
extern const char *const policy_names[TAIO_NPOLICIES];
/* Policy worker, the last one, and the last variants need Linux 6.10. */
bool policy_is_there(enum taio_policy_id policy);

/* Commands. argv[0] is the command's name. */
typedef int command_fn(int argc, char **argv);
command_fn cmd_serve, cmd_wait, cmd_sample, cmd_profile, cmd_insns, cmd_start, cmd_floor, cmd_submit,
	cmd_cancel, cmd_state, cmd_herd;

#endif
