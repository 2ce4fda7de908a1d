/* SPDX-License-Identifier: MIT */
/*
 * A fuzzer of /dev/taio. One program is made from one seed: some files, some proxies of them, io contexts,
 * and one to four threads that make calls at random. Each call draws its arguments from a generator of its
 * own, whose seed is that of the program, the thread and the number of the call: leaving one call out
 * (--drop) changes no other.
 *
 * Every function here may be called from any thread of a program and from its children, unless it says
 * otherwise. What finds a contract broken ends the process by fail_at(); the rest is the kernel's to judge.
 */
#ifndef TAIO_TESTS_KMOD_FUZZ_H
#define TAIO_TESTS_KMOD_FUZZ_H

#include "tests/kmod/kmod.h"

#include <signal.h>
#include <sys/uio.h>
#include <time.h>

/* --- chance --- */

struct rng {
	uint64_t state;
};

/* A seed made of two numbers. */
uint64_t seed_mix(uint64_t a, uint64_t b);
uint64_t rng_next(struct rng *rng);
/* Below @bound, which is not 0. */
unsigned int rng_below(struct rng *rng, unsigned int bound);
bool rng_percent(struct rng *rng, unsigned int percent);
#define rng_pick(rng, array) ((array)[rng_below(rng, ARRAY_LEN(array))])

/* --- who makes calls --- */

struct actor {
	struct rng rng;	 /* for the present call */
	uint64_t stream; /* of the seeds of its calls */
	unsigned int id; /* its place in shared->at */
	bool is_mortal;	 /* may end its process */
	bool is_single;	 /* its process has no other thread */
	bool is_over;	 /* makes no further calls */
	struct iovec iov[UIO_MAXIOV + 1];
};

typedef void call_fn(struct actor *a);

struct call {
	const char *name;
	unsigned int weight;
	call_fn *run;
};

/* Defines a call where its body is, and puts it on the program's list, as TEST_CASE() does. */
#define CALL(fn, how_often)                                                                                  \
	static call_fn call_##fn;                                                                            \
	static const struct call fn##_call = {.name = #fn, .weight = (how_often), .run = call_##fn};         \
	static const struct call *const fn##_row CALL_ROW = &fn##_call;                                      \
	static void call_##fn(struct actor *a)
#ifdef __clang__
#define CALL_ROW __attribute__((used, section("fuzz_calls")))
#else
#define CALL_ROW __attribute__((used, no_reorder, section("fuzz_calls")))
#endif
extern const struct call *const calls_begin[] __asm__("__start_fuzz_calls");
extern const struct call *const calls_end[] __asm__("__stop_fuzz_calls");

#define CALLS_MAX  96
#define ACTORS_MAX 16

struct settings {
	char drop[256]; /* names of calls, comma between, that are not made */
	bool trace;
	uid_t alice; /* the user whom threads become */
};

/* What the supervisor shares with a program and all of its processes; also across exec. */
struct shared {
	struct report report;
	struct settings settings;
	_Atomic unsigned int nactors;
	_Atomic unsigned int forks;
	struct {
		_Atomic unsigned int call, number;
	} at[ACTORS_MAX]; /* the call that each actor makes */

	/* Totals of the run. */
	_Atomic uint64_t calls[CALLS_MAX];
	_Atomic uint64_t accepted, refused, events, cancels, attached, stream_bytes;
};

extern struct shared *shared;

/* The descriptor of the shared memory, and the option by which a program that was exec'd knows itself. */
#define SHARED_FD 500
#define INHERIT	  "--inherit"

/* --- program.c --- */

/* In a process of its own; does not return. */
_Noreturn void program_run(uint64_t seed);
/* What was exec'd by a program goes on with the descriptors that it has inherited. */
_Noreturn void program_inherit(uint64_t seed);
void actor_init(struct actor *a, uint64_t stream);
/* Makes up to @ncalls calls. */
void actor_run(struct actor *a, unsigned int ncalls);
/* A child of a program, after fork(2). */
_Noreturn void program_child(struct actor *parent, uint64_t stream);
/* exec of this program, or the end. */
_Noreturn void program_exec(uint64_t seed);
/* A thread of its own for some calls; not waited for but at the end. */
void program_thread(struct actor *parent);
/* Sleeps in this thread end after some milliseconds, with EINTR. */
void tick_start(void);

/* --- targets.c: the descriptors --- */

/* Makes @n kinds of file at random. */
void targets_make(struct rng *rng, unsigned int n);
/* One more. */
void target_make(struct rng *rng);
/* Puts @fd into a place, and closes what was there; @fd may be negative: then nothing happens. */
void raw_put(struct rng *rng, int fd);
void proxy_put(struct rng *rng, int fd);
/* A descriptor at random: of a file, of a proxy, of either; rarely one that is none. */
int raw_pick(struct rng *rng);
int proxy_pick(struct rng *rng);
int any_pick(struct rng *rng);
/* The descriptor of a place is taken out of it, or -1. */
int any_take(struct rng *rng);
/* After exec: what is open. */
void targets_inherit(struct rng *rng);

/* --- memory.c: memory for the kernel alone, of which pages come and go --- */

#define ARENA_BYTES (256u << 10)
void arena_make(void);
/* Any address and length; often such as fit. */
void *memory_pick(struct rng *rng, size_t *nbytes);
/* Some segments in a->iov, from @at on; returns how many, which may be more than there is room for: not
 * filled then. */
int segments_pick(struct actor *a, unsigned int at, unsigned int max);

/* --- contexts.c: io contexts, and the oracle of their events --- */

/* Before any thread: some contexts. */
void contexts_open(struct rng *rng);
/* A forked child has none of its parent's. */
void contexts_forget(void);
/* No other thread is there. Cancels all, takes every event, and looks for one too many. */
void contexts_drain(void);
/* io_destroy(2) of all. */
void contexts_destroy(void);

/* --- attach_calls.c --- */

/* A proxy of @fd with valid arguments, or -errno. */
int attach_valid(struct rng *rng, int fd);

/* --- stream.c: bytes through proxies, each of which must arrive, in its order --- */

void stream_start(uint64_t seed);
/* Waits for its end. */
void stream_join(void);

/* --- judge.c; the supervisor's --- */

/* Notes the end of the kernel's log. */
void judge_begin(void);
/* Tells the kernel's log which program comes. */
void judge_announce(uint64_t seed);
/* Prints the first complaint in the kernel's log since judge_begin(), and returns whether there is one. */
bool judge_kernel(void);
/* Ends the group @pgid: false, with stacks printed, if something of it does not end. */
bool judge_end(pid_t pgid);
/* The module has let go of everything; else @why. */
bool judge_module(long refcnt, char *why, size_t whylen);

#endif
