/* SPDX-License-Identifier: MIT */
/* Owns a race's second thread and its head start. Called by the thread of the case. */
#include "tests/case/gate.h"

#include "tests/case/process.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define SPIN_YIELD 4096

/*
 * Turns of a wait before it sleeps between two looks, and how long it sleeps: most rounds end before that. A
 * thread that yields without end starves others on Linux 6.18: kernel threads, among them the one that
 * delivers a terminal's bytes, were seen to be ready for 20 s without running.
 */
#define WAIT_SPINS    65536
#define WAIT_PAUSE_NS 50000

/* In turns of spin(). Far: as long as a busy machine, perhaps an emulated one, may keep a thread waiting. */
static const struct {
	int step_log;
	long most, far;
} reaches[] = {
	[false] = {.step_log = 15, .most = 100000, .far = 2000000},
	[true] = {.step_log = 18, .most = 1000000, .far = 8000000},
};

void spin(long turns)
{
	for (long i = 1; i <= turns; i++) {
		__asm__ volatile("" ::: "memory");
		if (i % SPIN_YIELD == 0)
			sched_yield();
	}
}

static void spin_until(_Atomic long *word, long value)
{
	const struct timespec pause = {.tv_nsec = WAIT_PAUSE_NS};

	for (unsigned int i = 1; atomic_load_explicit(word, memory_order_acquire) < value; i++)
		if (i >= WAIT_SPINS)
			nanosleep(&pause, NULL);
		else if (i % 64 == 0)
			sched_yield();
}

static void *gate_run(void *arg)
{
	struct gate *gate = arg;

	if (gate->is_pinned)
		pin_to_cpu(1);
	for (long round = 1; round <= gate->rounds; round++) {
		spin_until(&gate->go, round);
		spin(-atomic_load_explicit(&gate->head_start, memory_order_relaxed));
		gate->step(gate, round);
		atomic_store_explicit(&gate->done, round, memory_order_release);
	}
	return NULL;
}

void gate_start(struct gate *gate)
{
	if (gate->is_pinned)
		pin_to_cpu(0);
	CHECK_EQ(pthread_create(&gate->thread, NULL, gate_run, gate), 0);
}

void gate_open(struct gate *gate, long round, long head_start)
{
	atomic_store_explicit(&gate->head_start, head_start, memory_order_relaxed);
	atomic_store_explicit(&gate->go, round, memory_order_release);
	spin(head_start);
}

void gate_pass(struct gate *gate, long round)
{
	spin_until(&gate->done, round);
}

void gate_join(struct gate *gate)
{
	pthread_join(gate->thread, NULL);
}

void steer_to(struct steer *steer, bool peer_won)
{
	bool seen = ++steer->seen[peer_won] >= OUTCOMES_MIN && steer->seen[!peer_won] >= OUTCOMES_MIN;
	long step, most = seen ? reaches[steer->is_wide].most : reaches[steer->is_wide].far;
	int step_log = reaches[steer->is_wide].step_log;

	steer->run = peer_won == steer->last ? steer->run + 1 : 0;
	steer->last = peer_won;
	step = 1L << (steer->run < step_log ? steer->run : step_log);
	steer->head_start += peer_won ? -step : step;
	if (labs(steer->head_start) > most)
		steer->head_start /= 2;
}
