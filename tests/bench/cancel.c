/* SPDX-License-Identifier: MIT */
/*
 * Time from io_cancel(2) to the event, for a read from an empty TCP socket, beside a ping-pong over two
 * eventfds between two threads, there and back. Once with the submitter on one processor and the helpers and
 * the other thread on the other: both cross from one to the other and back. And once with all on one, which
 * is where a worker is whose submitter may run nowhere else. Each round measures everything once.
 */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NBYTES	  64
#define WARM	  50
#define HERE_CPU  0
#define THERE_CPU 1
#define STATE_MS  10000

#define INFLIGHT "/sys/kernel/debug/taio/inflight"

/* --- the other thread --- */

static struct {
	int ping, pong;
	pthread_t thread;
} partner;

static uint64_t event_read(int fd)
{
	uint64_t n;

	CHECK_EQ(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static void event_write(int fd, uint64_t n)
{
	CHECK_EQ(write(fd, &n, sizeof(n)), sizeof(n));
}

/* A two ends it. */
static void *partner_run(void *cpu)
{
	pin_to_cpu((unsigned int)(uintptr_t)cpu);
	while (event_read(partner.ping) == 1)
		event_write(partner.pong, 1);
	return NULL;
}

static void partner_start(unsigned int cpu)
{
	partner.ping = SYS(eventfd(0, EFD_CLOEXEC));
	partner.pong = SYS(eventfd(0, EFD_CLOEXEC));
	CHECK_EQ(pthread_create(&partner.thread, NULL, partner_run, (void *)(uintptr_t)cpu), 0);
}

static void partner_stop(void)
{
	event_write(partner.ping, 2);
	CHECK_EQ(pthread_join(partner.thread, NULL), 0);
	fd_close(&partner.ping);
	fd_close(&partner.pong);
}

static uint64_t pingpong_time(void)
{
	uint64_t began = now_ns();

	event_write(partner.ping, 1);
	event_read(partner.pong);
	return now_ns() - began;
}

/* --- a cancel --- */

/* The one operation there is: as far as it gets without data. */
static void wait_for_state(const char *state)
{
	int64_t until = now_ms() + STATE_MS;
	char line[256];

	while (!line_read(INFLIGHT, line, sizeof(line)) || !strstr(line, state))
		CHECK(now_ms() < until);
}

static uint64_t cancel_time(struct scene *s, struct link *link)
{
	bool blocks = s->policy == TAIO_POLICY_BLOCK || s->policy == TAIO_POLICY_WORKER;
	const char *state = blocks ? " running " : " waiting ";
	char buf[NBYTES];
	struct op op = {0};
	uint64_t began;

	op_read(&op, link->afd_in, buf, NBYTES);
	op_start(&s->ring, &op);
	wait_for_state(state);
	/* RUNNING it still has to fall asleep: the processor it is on is idle again some time later. */
	pause_ms(1);
	began = now_ns();
	CHECK_EQ(op_cancel(&s->ring, &op), 0);
	while (!op.events)
		collect(&s->ring, 10000);
	began = now_ns() - began;
	CHECK_EQ(op.res, -ECANCELED);
	return began;
}

static void column_print(const char *name, struct samples *column, bool is_last)
{
	printf("\"%s\": {\"p50\": %ju, \"p99\": %ju, \"max\": %ju, \"count\": %zu}%s\n", name,
	       (uintmax_t)samples_at(column, 0.5), (uintmax_t)samples_at(column, 0.99),
	       (uintmax_t)samples_at(column, 1), column->len, is_last ? "" : ",");
	samples_free(column);
}

/* Each policy below @npolicies, with everything but the submitter on processor @cpu. */
static void measure(unsigned int npolicies, unsigned int cpu, long rounds)
{
	struct samples pingpong = {0}, cancels[TAIO_NPOLICIES] = {0};
	struct scene scenes[TAIO_NPOLICIES];
	struct link *links[TAIO_NPOLICIES];

	partner_start(cpu);
	for (unsigned int p = 0; p < npolicies; p++) {
		scenes[p] = (struct scene){.policy = p, .kind = LINK_TCP};
		links[p] = scene_open(&scenes[p], 8);
	}
	for (long i = -WARM; i < rounds; i++) {
		uint64_t ns;

		if (!i) /* by now there is a helper */
			helpers_pin(cpu);
		pause_ms(1);
		ns = pingpong_time();
		if (i >= 0)
			samples_add(&pingpong, ns);
		for (unsigned int p = 0; p < npolicies; p++) {
			ns = cancel_time(&scenes[p], links[p]);
			if (i >= 0)
				samples_add(&cancels[p], ns);
		}
	}
	for (unsigned int p = 0; p < npolicies; p++) {
		column_print(policy_names[p], &cancels[p], false);
		scene_finish(&scenes[p]);
	}
	column_print("pingpong", &pingpong, true);
	partner_stop();
}

/* ROUNDS */
int cmd_cancel(int argc, char **argv)
{
	long rounds = number_of(argv[1], "ROUNDS");

	CHECK_EQ(argc, 2);
	pin_to_cpu(HERE_CPU);
	printf("{\"apart\": {");
	measure(TAIO_POLICY_WORKER, THERE_CPU, rounds);
	printf("}, \"together\": {");
	measure(TAIO_POLICY_WORKER + policy_is_there(TAIO_POLICY_WORKER), HERE_CPU, rounds);
	printf("}}\n");
	return 0;
}
