/* SPDX-License-Identifier: MIT */
/* A program of the fuzzer: what it opens, its threads, its children, its end. */
#include "fuzz.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS_MAX 4
#define TICK_NS	    10000000
#define EXTRAS_MAX  8

static _Atomic int extras; /* threads that nobody has joined */

/* --- actors --- */

void actor_init(struct actor *a, uint64_t stream)
{
	a->stream = stream;
	a->id = atomic_fetch_add(&shared->nactors, 1) % ACTORS_MAX;
	a->is_mortal = a->is_single = a->is_over = false;
}

static unsigned int weights(void)
{
	static _Atomic unsigned int sum;
	unsigned int n = 0;

	if (!atomic_load(&sum)) {
		for (const struct call *const *call = calls_begin; call < calls_end; call++)
			n += (*call)->weight;
		atomic_store(&sum, n);
	}
	return atomic_load(&sum);
}

static const struct call *const *call_pick(struct rng *rng)
{
	unsigned int at = rng_below(rng, weights());
	const struct call *const *call = calls_begin;

	while (at >= (*call)->weight)
		at -= (*call++)->weight;
	return call;
}

static bool is_dropped(const char *name)
{
	size_t len = strlen(name);
	const char *drop = shared->settings.drop, *at = drop;

	while ((at = strstr(at, name))) {
		if ((at == drop || at[-1] == ',') && (!at[len] || at[len] == ','))
			return true;
		at += len;
	}
	return false;
}

void actor_run(struct actor *a, unsigned int ncalls)
{
	for (unsigned int i = 0; i < ncalls && !a->is_over; i++) {
		const struct call *const *call;
		unsigned int number;

		a->rng.state = seed_mix(a->stream, i);
		call = call_pick(&a->rng);
		if (is_dropped((*call)->name))
			continue;
		number = (unsigned int)(call - calls_begin);
		atomic_store(&shared->at[a->id].call, number);
		atomic_store(&shared->at[a->id].number, i);
		atomic_fetch_add(&shared->calls[number], 1);
		if (shared->settings.trace)
			dprintf(STDERR_FILENO, "%d.%u %u %s\n", (int)getpid(), a->id, i, (*call)->name);
		(*call)->run(a);
	}
}

/* --- signals --- */

static void on_signal(int signal) {}

static void signals_set(void)
{
	struct sigaction handled = {.sa_handler = on_signal}, ignored = {.sa_handler = SIG_IGN};
	static const int to_handle[] = {SIGUSR1, SIGUSR2, SIGIO},
			 to_ignore[] = {SIGPIPE, SIGXFSZ, SIGHUP, SIGTTOU, SIGTTIN, SIGCHLD};
	sigset_t none;

	for (unsigned int i = 0; i < ARRAY_LEN(to_handle); i++)
		sigaction(to_handle[i], &handled, NULL);
	for (unsigned int i = 0; i < ARRAY_LEN(to_ignore); i++)
		sigaction(to_ignore[i], &ignored, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void tick_start(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
	struct itimerspec period = {{0, TICK_NS}, {0, TICK_NS}};
	timer_t timer;

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (!timer_create(CLOCK_MONOTONIC, &event, &timer))
		timer_settime(timer, 0, &period, NULL);
}

/* --- threads, children, exec --- */

struct thread {
	pthread_t thread;
	struct actor actor;
	unsigned int ncalls;
};

static void *thread_main(void *arg)
{
	struct thread *thread = arg;

	tick_start();
	actor_run(&thread->actor, thread->ncalls);
	return NULL;
}

/* Detaches itself: whoever has made it may come to that when it is over and @arg free. */
static void *extra_main(void *arg)
{
	pthread_detach(pthread_self());
	thread_main(arg);
	free(arg);
	atomic_fetch_sub(&extras, 1);
	return NULL;
}

void program_thread(struct actor *parent)
{
	struct thread *thread;

	if (atomic_fetch_add(&extras, 1) >= EXTRAS_MAX)
		goto out;
	thread = malloc(sizeof(*thread));
	if (!thread)
		goto out;
	actor_init(&thread->actor, rng_next(&parent->rng));
	thread->ncalls = 1 + rng_below(&parent->rng, 12);
	parent->is_single = false;
	if (!pthread_create(&thread->thread, NULL, extra_main, thread))
		return;
	free(thread);
out:
	atomic_fetch_sub(&extras, 1);
}

static void extras_await(void)
{
	while (atomic_load(&extras) > 0)
		pause_ms(1);
}

_Noreturn void program_exec(uint64_t seed)
{
	char text[32];
	char *const argv[] = {(char *)"kmod_fuzz", (char *)INHERIT, text, NULL};

	snprintf(text, sizeof(text), "%ju", (uintmax_t)seed);
	execv("/proc/self/exe", argv);
	_exit(0);
}

/* In one of these ways a process ends when its calls are made. */
static _Noreturn void finish(struct rng *rng, bool is_mortal)
{
	unsigned int way = rng_below(rng, 10);

	extras_await();
	if (way < 5)
		contexts_drain();
	else if (way < 6)
		contexts_destroy();
	else if (way < 7 && is_mortal)
		kill(getpid(), SIGKILL);
	else if (way < 8 && is_mortal)
		program_exec(rng_next(rng));
	_exit(0);
}

_Noreturn void program_child(struct actor *parent, uint64_t stream)
{
	static struct actor child;
	struct rng rng = {stream};

	contexts_forget();
	atomic_store(&extras, 0);
	tick_start();
	actor_init(&child, rng_next(&rng));
	child.is_mortal = child.is_single = true;
	contexts_open(&rng);
	actor_run(&child, 5 + rng_below(&rng, 40));
	finish(&rng, true);
}

_Noreturn void program_inherit(uint64_t seed)
{
	static struct actor actor;
	struct rng rng = {seed};

	signals_set();
	arena_make();
	targets_inherit(&rng);
	contexts_open(&rng);
	tick_start();
	actor_init(&actor, rng_next(&rng));
	actor.is_mortal = actor.is_single = true;
	actor_run(&actor, rng_below(&rng, 25));
	finish(&rng, false);
}

/* --- the program --- */

static void proxies_make(struct rng *rng, unsigned int n)
{
	while (n--)
		proxy_put(rng, attach_valid(rng, raw_pick(rng)));
}

_Noreturn void program_run(uint64_t seed)
{
	static struct thread threads[THREADS_MAX];
	struct rng rng = {seed};
	unsigned int n = 1 + rng_below(&rng, THREADS_MAX);
	bool is_mortal = rng_percent(&rng, 35);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signals_set();
	arena_make();
	targets_make(&rng, 3 + rng_below(&rng, 7));
	proxies_make(&rng, 4 + rng_below(&rng, 12));
	contexts_open(&rng);
	if (rng_percent(&rng, 50))
		stream_start(rng_next(&rng));
	for (unsigned int i = 0; i < n; i++) {
		actor_init(&threads[i].actor, rng_next(&rng));
		threads[i].actor.is_mortal = is_mortal;
		threads[i].ncalls = 20 + rng_below(&rng, 400);
		/* Those that run already may have used up what it needs. */
		if (pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]))
			n = i;
	}
	/* The others go on without the first thread, and the last to end ends the process. */
	if (is_mortal && rng_percent(&rng, 8))
		syscall(SYS_exit, 0);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(threads[i].thread, NULL);
	stream_join();
	finish(&rng, is_mortal);
}
