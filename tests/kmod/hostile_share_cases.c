/* SPDX-License-Identifier: MIT */
/*
 * What alice takes of the processors: as much as she may by read(2) and write(2) at her nice value, and no
 * time with interrupts off that grows with the number of her operations.
 */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

/* --- the share of a busy process --- */

/* Enough operations, or one that is large enough, to go on without a moment of alice's, who has to wait for
 * it. */
enum { PAIRS = 4, CHUNK = 1 << 16, DEPTH = 512, SEGMENTS = 256, SEGMENT = 1 << 20, BUSY_MS = 300 };

struct load {
	_Atomic long done; /* transfers */
	struct scene *s;
	long cpu_us[8]; /* of each busy process */
};

/* That of the next child: each has a copy of its own. */
static unsigned int next_cpu;

static char zeros[CHUNK], got[SEGMENT];
static struct iovec segments[SEGMENTS];

static void be_alice(void)
{
	become_member(ALICE);
	SYS(setpriority(PRIO_PROCESS, 0, 19));
	for (unsigned int i = 0; i < SEGMENTS; i++)
		segments[i] = (struct iovec){got, SEGMENT};
}

/* One end of a pair; of a file both ends read. */
struct end {
	struct load *load;
	int fd;
	bool writes;
};

static struct end end_of(struct load *load, unsigned int i)
{
	const struct link *link = load->s->links[i / 2];
	bool writes = i & 1 && load->s->kind != LINK_FILE;

	return (struct end){load, writes ? link->peer_out : link->in, writes};
}

static void *plain_main(void *arg)
{
	struct end *end = arg;

	for (;;) {
		ssize_t n;

		if (end->load->s->kind == LINK_FILE)
			n = preadv(end->fd, segments, SEGMENTS, 0);
		else
			n = end->writes ? write(end->fd, zeros, CHUNK) : read(end->fd, got, CHUNK);
		CHECK(n > 0);
		atomic_fetch_add(&end->load->done, 1);
	}
	return NULL;
}

/* A thread for each end of each pair. */
static void plain_load(void *arg)
{
	static struct end ends[2 * PAIRS];
	pthread_t thread;

	be_alice();
	for (unsigned int i = 0; i < 2 * PAIRS; i++) {
		ends[i] = end_of(arg, i);
		CHECK_EQ(pthread_create(&thread, NULL, plain_main, &ends[i]), 0);
	}
	for (;;)
		pause();
}

static void taio_load(void *arg)
{
	static struct op ops[2 * PAIRS * DEPTH];
	struct load *load = arg;
	struct scene *s = load->s;
	unsigned int depth = s->kind == LINK_FILE ? 1 : DEPTH, nops = 2 * PAIRS * depth;

	be_alice();
	scene_ring(s, nops);
	for (unsigned int i = 0; i < nops; i++) {
		struct end end = end_of(load, i / depth);
		static int proxy;

		if (i % depth == 0)
			proxy = proxy_make(s, end.fd);
		if (s->kind == LINK_FILE)
			op_readv(&ops[i], proxy, segments, SEGMENTS);
		else if (end.writes)
			op_write(&ops[i], proxy, zeros, CHUNK);
		else
			op_read(&ops[i], proxy, got, CHUNK);
		op_start(&s->ring, &ops[i]);
	}
	atomic_store(&load->done, 1);
	for (;;) {
		collect(&s->ring, 1000);
		for (unsigned int i = 0; i < nops; i++) {
			if (!ops[i].events)
				continue;
			CHECK(ops[i].res > 0);
			ops[i].events = 0;
			op_start(&s->ring, &ops[i]);
		}
	}
}

static long cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void busy(void *arg)
{
	struct load *load = arg;
	unsigned int cpu = next_cpu;
	int64_t until;

	become_member(BOB);
	pin_to_cpu(cpu);
	until = now_ms() + BUSY_MS;
	while (now_ms() < until)
		;
	load->cpu_us[cpu] = cpu_us();
}

/* The percentage of the processors that busy processes get, one on each, while @alice runs. */
static long share_beside(struct load *load, void (*alice)(void *arg))
{
	pid_t pid = child_start(alice, load), busies[ARRAY_LEN(load->cpu_us)];
	unsigned int ncpus = (unsigned int)get_nprocs();
	int64_t until = now_ms() + 10000;
	long total = 0;

	CHECK(ncpus <= ARRAY_LEN(busies));
	while (!atomic_load(&load->done)) {
		CHECK(now_ms() < until);
		pause_ms(1);
	}
	for (next_cpu = 0; next_cpu < ncpus; next_cpu++)
		busies[next_cpu] = child_start(busy, load);
	for (unsigned int i = 0; i < ncpus; i++)
		CHECK_EQ(child_reap(busies[i], 20000), 0);
	SYS(kill(pid, SIGKILL));
	CHECK_EQ(child_reap(pid, 20000), SIGKILL);
	for (unsigned int i = 0; i < ncpus; i++)
		total += load->cpu_us[i];
	atomic_store(&load->done, 0);
	return total / (BUSY_MS * 10) / ncpus;
}

/* What the one has left is not what the other begins with. */
static void pairs_make(struct scene *s)
{
	for (unsigned int i = 0; i < PAIRS; i++) {
		if (s->nlinks < PAIRS)
			scene_link(s);
		else
			link_renew(s, s->links[i]);
		if (s->kind == LINK_FILE)
			SYS(ftruncate(s->links[i]->in, (off_t)SEGMENTS * SEGMENT)); /* a hole */
	}
}

/* Bob is at nice 0, alice at 19: of each processor she gets 1.5 percent beside him. */
TEST_CASE(busy_process_keeps_its_share_beside_a_nice_load, ON(STREAMS) | LINK_FILE, AS(CASE_PLAIN))
{
	struct load *load = shared_make(sizeof(*load));
	long plain, ours;

	load->s = s;
	pairs_make(s);
	plain = share_beside(load, plain_load);
	pairs_make(s);
	ours = share_beside(load, taio_load);
	note("%ld %% of the processors beside read(2) and write(2), %ld %% beside operations", plain, ours);
	CHECK(2 * ours >= plain);
}

/* --- very many operations --- */

enum { MANY = 60000, BATCH = 500, MANY_MS = 60000 };

struct crowd {
	_Atomic int stage;
	struct scene *s;
	_Atomic long longest_ms[8]; /* that a processor was not to be had, since somebody set it to 0 */
	_Atomic bool over;
};

static void bystander(void *arg)
{
	struct crowd *crowd = arg;
	unsigned int cpu = next_cpu;
	int64_t before, now;

	become_member(BOB);
	pin_to_cpu(cpu);
	for (before = now_ms(); !atomic_load(&crowd->over); before = now) {
		struct timespec ts = {.tv_nsec = 1000000};

		nanosleep(&ts, NULL);
		now = now_ms();
		if (now - before > atomic_load(&crowd->longest_ms[cpu]))
			atomic_store(&crowd->longest_ms[cpu], now - before);
	}
}

/* Since the last call. */
static long longest_take(struct crowd *crowd)
{
	long longest = 0;

	for (unsigned int i = 0; i < ARRAY_LEN(crowd->longest_ms); i++) {
		long ms = atomic_exchange(&crowd->longest_ms[i], 0);

		longest = ms > longest ? ms : longest;
	}
	return longest;
}

static void many_start(struct ring *ring, const struct link *link, bool is_stock)
{
	static struct op ops[MANY];
	static char byte;

	for (unsigned int i = 0; i < MANY; i += BATCH) {
		struct iocb *iocbs[BATCH];

		for (unsigned int j = 0; j < BATCH; j++) {
			struct op *op = &ops[i + j];

			if (is_stock)
				op_poll(op, link->in, 1 /* POLLIN */);
			else
				op_read(op, link->afd_in, &byte, 1);
			op->seq = (uint64_t)op->iocb.data;
			iocbs[j] = &op->iocb;
		}
		CHECK_EQ(io_submit(ring->ctx, BATCH, iocbs), BATCH);
	}
	ring->inflight = MANY;
}

static void many_main(void *arg)
{
	struct crowd *crowd = arg;
	struct scene *s = crowd->s;

	become_member(ALICE);
	scene_ring(s, MANY);
	many_start(&s->ring, s->links[0], false);
	atomic_store(&crowd->stage, 1);
	stage_await(&crowd->stage, 2);
	CHECK_EQ(proxy_cancel(s->links[0]->afd_in), MANY);
	while (s->ring.inflight)
		CHECK(collect(&s->ring, 20000));
	atomic_store(&crowd->stage, 3);
	many_start(&s->ring, s->links[0], false);
	atomic_store(&crowd->stage, 4);
	for (;;)
		pause();
}

static void many_polls(void *arg)
{
	struct crowd *crowd = arg;
	struct ring ring;

	become_member(ALICE);
	ring_open(&ring, MANY);
	many_start(&ring, crowd->s->links[0], true);
	atomic_store(&crowd->stage, 1);
	for (;;)
		pause();
}

/* The longest stop while a process with MANY operations is killed. */
static long stop_of_the_end(struct crowd *crowd, pid_t pid)
{
	longest_take(crowd);
	SYS(kill(pid, SIGKILL));
	CHECK_EQ(child_reap(pid, MANY_MS), SIGKILL);
	return longest_take(crowd);
}

struct stops {
	long begun, cancelled, ended, stock; /* ms */
};

static void stops_measure(struct crowd *crowd, struct stops *stops)
{
	unsigned int ncpus = (unsigned int)get_nprocs();
	pid_t pid, bystanders[ARRAY_LEN(crowd->longest_ms)];

	atomic_store(&crowd->over, false);
	atomic_store(&crowd->stage, 0);
	for (next_cpu = 0; next_cpu < ncpus; next_cpu++)
		bystanders[next_cpu] = child_start(bystander, crowd);
	pid = child_start(many_polls, crowd);
	stage_await(&crowd->stage, 1);
	stops->stock = stop_of_the_end(crowd, pid);
	atomic_store(&crowd->stage, 0);
	pid = child_start(many_main, crowd);
	stage_await(&crowd->stage, 1);
	stops->begun = longest_take(crowd);
	atomic_store(&crowd->stage, 2);
	stage_await(&crowd->stage, 3);
	stops->cancelled = longest_take(crowd);
	stage_await(&crowd->stage, 4);
	stops->ended = stop_of_the_end(crowd, pid);
	atomic_store(&crowd->over, true);
	for (unsigned int i = 0; i < ncpus; i++)
		CHECK_EQ(child_reap(bystanders[i], 20000), 0);
}

/*
 * fs/aio walks its list with interrupts off, at the end of a process: what it takes for stock operations is
 * the measure. Ours cost more each, and TAIO_IOC_CANCEL does not walk so.
 */
static bool is_bounded(const struct stops *stops)
{
	long most = 3 * stops->stock + 200;

	return stops->begun <= most && stops->cancelled <= most && stops->ended <= 5 * most;
}

/* Not once in three times: the machine that emulates this one has other work. */
TEST_CASE(sixty_thousand_operations_stop_nobody, ON(PIPE), AS(CASE_PLAIN))
{
	struct crowd *crowd = shared_make(sizeof(*crowd));
	struct stops stops;
	unsigned int tries = 0;

	crowd->s = s;
	scene_link(s);
	do
		stops_measure(crowd, &stops);
	while (!is_bounded(&stops) && ++tries < 3);
	note("longest stops: %ld ms at submit, %ld ms at cancel, %ld ms at the end (%ld ms for stock polls)",
	     stops.begun, stops.cancelled, stops.ended, stops.stock);
	CHECK(is_bounded(&stops));
}

/* --- threads that have ended --- */

enum { ENDED = 400 };

static long task_structs(void)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	char line[512];
	long n = -1;

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "task_struct %ld", &n);
	fclose(file);
	CHECK(n >= 0);
	return n;
}

struct ended {
	struct scene *s;
	struct op ops[ENDED];
	unsigned int next;
};

static void *submit_one(void *arg)
{
	static char byte;
	struct ended *ended = arg;
	struct op *op = &ended->ops[ended->next++];

	read_start(&ended->s->ring, op, ended->s->links[0]->afd_in, &byte, 1);
	return NULL;
}

static void *submit_none(void *arg)
{
	return arg;
}

/* How many more there are after ENDED threads, which are freed a moment after their end. */
static long growth(void *(*run)(void *arg), struct ended *ended)
{
	long before = task_structs(), more;
	int64_t until;

	for (unsigned int i = 0; i < ENDED; i++) {
		pthread_t thread;

		CHECK_EQ(pthread_create(&thread, NULL, run, ended), 0);
		pthread_join(thread, NULL);
	}
	until = now_ms() + 3000;
	while ((more = task_structs() - before) > ENDED / 4 && now_ms() < until)
		pause_ms(20);
	return more;
}

/* 7 kB each, which RLIMIT_NPROC does not count any more. A kernel that checks memory keeps them all. */
TEST_CASE(thread_that_has_ended_is_not_kept_by_its_operation, ON(PARKABLE), AS(CASE_PLAIN))
{
	static struct ended ended;
	long without, with;

	ended.s = s;
	scene_open(s, ENDED);
	without = growth(submit_none, &ended);
	with = growth(submit_one, &ended);
	note("%ld more task_structs after %u threads with an operation each, %ld without", with, ENDED,
	     without);
	CHECK(with <= without + ENDED / 4);
	CHECK_EQ(proxy_cancel(s->links[0]->afd_in), ENDED);
	while (s->ring.inflight)
		CHECK(collect(&s->ring, 20000));
}
