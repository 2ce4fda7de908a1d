/* SPDX-License-Identifier: MIT */
/* The gate of a race and its steering. */
#include "gate.h"

#include <sched.h>
#include <stdlib.h>

#define SPIN_YIELD     4096
#define STEP_LOG_MAX   15
#define HEAD_START_MAX 100000
#define HEAD_START_FAR 2000000 /* what a busy machine, perhaps an emulated one, keeps a thread waiting */
#define SEEN_ENOUGH    10

/* Yields now and then: on two processors the module's helpers need one of ours. */
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
	for (unsigned int i = 1; atomic_load_explicit(word, memory_order_acquire) < value; i++)
		if (i % 64 == 0)
			sched_yield();
}

static void *gate_run(void *arg)
{
	struct gate *gate = arg;

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
	bool seen = ++steer->seen[peer_won] >= SEEN_ENOUGH && steer->seen[!peer_won] >= SEEN_ENOUGH;
	long step, most = seen ? HEAD_START_MAX : HEAD_START_FAR;

	steer->run = peer_won == steer->last ? steer->run + 1 : 0;
	steer->last = peer_won;
	step = 1L << (steer->run < STEP_LOG_MAX ? steer->run : STEP_LOG_MAX);
	steer->head_start += peer_won ? -step : step;
	if (labs(steer->head_start) > most)
		steer->head_start /= 2;
}
