/* SPDX-License-Identifier: MIT */
/* Jobs go to the crew and come back, each once, in its own tray; those not begun can be withdrawn. */
#include "server/crew.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>

#include <cmocka.h>

#define NJOBS 200

/* A loop's side: what has come back to it, and a semaphore in the place of its wake-up. */
struct desk {
	struct crew_tray tray;
	sem_t woken;
	unsigned int nwakes; /* under the tray's lock */
	unsigned int ntaken;
};

struct work {
	struct crew_job job;
	unsigned int number;
	/* Plain: what a thread has written is seen by who takes the job. */
	unsigned int nruns;
	unsigned int before; /* the number of the one that was run before it */
	sigset_t mask;
};

static struct crew *crew;
static struct desk desk;
static struct work works[NJOBS];
/* A work that holds its thread up: it posts begun, and waits for ends. */
static sem_t begun, ends;
static atomic_uint last_number;

static void on_brought(void *arg)
{
	struct desk *to = arg;

	to->nwakes++;
	sem_post(&to->woken);
}

static void desk_open(struct desk *d)
{
	*d = (struct desk){0};
	sem_init(&d->woken, 0, 0);
	crew_tray_init(&d->tray, on_brought, d);
}

static void desk_close(struct desk *d)
{
	crew_tray_fini(&d->tray);
	sem_destroy(&d->woken);
}

static void wait_sem(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

/* As a loop does: takes all that is there, and sleeps only when nothing is. */
static struct work *take(struct desk *d)
{
	struct crew_job *job;

	while (!(job = crew_tray_take(&d->tray)))
		wait_sem(&d->woken);
	d->ntaken++;
	return (struct work *)job;
}

static void run(struct crew_job *job)
{
	((struct work *)job)->nruns++;
}

static void run_in_turn(struct crew_job *job)
{
	struct work *work = (struct work *)job;

	work->before = atomic_exchange(&last_number, work->number);
	run(job);
}

static void run_held(struct crew_job *job)
{
	struct work *work = (struct work *)job;

	pthread_sigmask(SIG_BLOCK, NULL, &work->mask);
	sem_post(&begun);
	wait_sem(&ends);
	run(job);
}

static void submit(unsigned int i, struct desk *to, void (*how)(struct crew_job *job))
{
	works[i] = (struct work){.job = {.tray = &to->tray, .run = how}, .number = i};
	crew_submit(crew, &works[i].job);
}

static int open_crew(void **state)
{
	unsigned int *n = *state;

	sem_init(&begun, 0, 0);
	sem_init(&ends, 0, 0);
	desk_open(&desk);
	return crew_create(&crew, *n);
}

static int close_crew(void **state)
{
	crew_destroy(crew);
	desk_close(&desk);
	sem_destroy(&begun);
	sem_destroy(&ends);
	return 0;
}

static void each_comes_back_once(void **state)
{
	for (int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < NJOBS; i++)
			submit(i, &desk, run);
		for (unsigned int i = 0; i < NJOBS; i++)
			assert_int_equal(take(&desk)->nruns, 1);
		for (unsigned int i = 0; i < NJOBS; i++)
			assert_int_equal(works[i].nruns, 1);
		assert_null(crew_tray_take(&desk.tray));
	}
}

static void one_thread_runs_them_in_order(void **state)
{
	submit(0, &desk, run_held); /* so that the others wait together */
	for (unsigned int i = 1; i < NJOBS; i++)
		submit(i, &desk, run_in_turn);
	sem_post(&ends);
	for (unsigned int i = 0; i < NJOBS; i++) {
		assert_int_equal(take(&desk)->number, i);
		assert_int_equal(works[i].before, i ? i - 1 : 0);
	}
}

static void what_no_thread_has_begun_is_withdrawn(void **state)
{
	submit(0, &desk, run_held);
	wait_sem(&begun);
	for (unsigned int i = 1; i < 10; i++)
		submit(i, &desk, run);
	assert_false(crew_withdraw(crew, &works[0].job));
	for (unsigned int i = 1; i < 10; i += 2)
		assert_true(crew_withdraw(crew, &works[i].job));
	assert_false(crew_withdraw(crew, &works[1].job));
	sem_post(&ends);
	for (unsigned int i = 0; i < 10; i += 2) {
		assert_int_equal(take(&desk)->number, i);
		assert_int_equal(works[i].nruns, 1);
		if (i)
			assert_int_equal(works[i - 1].nruns, 0);
		assert_false(crew_withdraw(crew, &works[i].job));
	}
	assert_null(crew_tray_take(&desk.tray));
}

/* A burst costs one wake-up, and none is lost: a tray that was emptied wakes anew. */
static void a_tray_wakes_when_it_was_empty(void **state)
{
	struct crew_job *job;

	for (unsigned int i = 0; i < 3; i++)
		submit(i, &desk, run);
	submit(3, &desk, run_held); /* the others are back once it has begun: there is one thread */
	wait_sem(&begun);
	assert_int_equal(desk.nwakes, 1);
	for (unsigned int i = 0; i < 3; i++) {
		job = crew_tray_take(&desk.tray);
		assert_ptr_equal(job, &works[i].job);
	}
	assert_null(crew_tray_take(&desk.tray));
	sem_post(&ends);
	assert_int_equal(take(&desk)->number, 3);
	assert_int_equal(desk.nwakes, 2);
}

static void each_tray_gets_its_own(void **state)
{
	struct desk other;

	desk_open(&other);
	for (unsigned int i = 0; i < NJOBS; i++)
		submit(i, i % 2 ? &other : &desk, run);
	for (unsigned int i = 0; i < NJOBS / 2; i++) {
		assert_int_equal(take(&desk)->number % 2, 0);
		assert_int_equal(take(&other)->number % 2, 1);
	}
	assert_null(crew_tray_take(&desk.tray));
	assert_null(crew_tray_take(&other.tray));
	desk_close(&other);
}

static void its_threads_work_at_the_same_time(void **state)
{
	submit(0, &desk, run_held);
	submit(1, &desk, run_held);
	wait_sem(&begun);
	wait_sem(&begun);
	sem_post(&ends);
	sem_post(&ends);
	take(&desk);
	take(&desk);
}

/* Signals are the main thread's. */
static void its_threads_take_no_signals(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE};

	submit(0, &desk, run_held);
	sem_post(&ends);
	take(&desk);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_true(sigismember(&works[0].mask, signals[i]));
}

static void it_is_stuck_while_nothing_that_waits_is_begun(void **state)
{
	assert_false(crew_is_stuck(crew));
	submit(0, &desk, run_held);
	wait_sem(&begun);
	assert_false(crew_is_stuck(crew)); /* at work, and nothing waits */
	submit(1, &desk, run_held);
	submit(2, &desk, run_held);
	assert_false(crew_is_stuck(crew)); /* perhaps since just now */
	assert_true(crew_is_stuck(crew));
	assert_true(crew_is_stuck(crew));
	sem_post(&ends);
	wait_sem(&begun);
	assert_false(crew_is_stuck(crew));
	assert_true(crew_is_stuck(crew));
	sem_post(&ends);
	sem_post(&ends);
	for (int i = 0; i < 3; i++)
		take(&desk);
	assert_false(crew_is_stuck(crew));
}

static void an_idle_one_ends(void **state) {}

#define CREW_TEST(name, n) cmocka_unit_test_prestate_setup_teardown(name, open_crew, close_crew, n)

int main(void)
{
	static unsigned int one = 1, four = 4;
	const struct CMUnitTest tests[] = {
		CREW_TEST(each_comes_back_once, &one),
		CREW_TEST(each_comes_back_once, &four),
		CREW_TEST(one_thread_runs_them_in_order, &one),
		CREW_TEST(what_no_thread_has_begun_is_withdrawn, &one),
		CREW_TEST(a_tray_wakes_when_it_was_empty, &one),
		CREW_TEST(each_tray_gets_its_own, &four),
		CREW_TEST(its_threads_work_at_the_same_time, &four),
		CREW_TEST(its_threads_take_no_signals, &one),
		CREW_TEST(it_is_stuck_while_nothing_that_waits_is_begun, &one),
		CREW_TEST(an_idle_one_ends, &four),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
