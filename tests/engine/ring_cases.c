/* SPDX-License-Identifier: MIT */
/*
 * The ring itself: its room, what it refuses, how it wakes and how it is opened.
 */
#include "suite.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>

#define ENTRIES 8

#define EXHAUST_ENTRIES 65536
#define EXHAUST_RINGS	33

static void reads_start(struct scene *s, struct link *link, struct op *ops, char *bytes, unsigned int nops)
{
	for (unsigned int i = 0; i < nops; i++)
		read_start(s, &ops[i], link->afd_in, &bytes[i], 1);
}

static void cancel_all(struct scene *s, struct op *ops, unsigned int nops)
{
	for (unsigned int i = 0; i < nops; i++)
		op_cancel(s, &ops[i]);
	await_all(s, ops, nops);
}

TEST_CASE(full_ring_says_eagain_and_keeps_what_it_has, ON(WAITING), AS(CASE_VARIANTS))
{
	struct op ops[ENTRIES], over;
	char bytes[ENTRIES], byte;
	struct link *link = scene_open(s, ENTRIES);

	for (int turn = 0; turn < 3; turn++) {
		reads_start(s, link, ops, bytes, ENTRIES);
		op_read(&over, link->afd_in, &byte, 1);
		CHECK_EQ(op_try(s, &over), -EAGAIN);
		CHECK_EQ(taio_inflight(s->ring), ENTRIES);
		stay_quiet(s);

		op_cancel(s, &ops[1]);
		CHECK_EQ(await(s, &ops[1]), -ECANCELED);
		op_start(s, &over); /* room for one */
		op_read(&ops[1], link->afd_in, &bytes[1], 1);
		CHECK_EQ(op_try(s, &ops[1]), -EAGAIN);
		peer_write(link, "12345678", ENTRIES);
		for (unsigned int i = 0; i < ENTRIES; i++)
			if (i != 1)
				CHECK_EQ(await(s, &ops[i]), 1);
		CHECK_EQ(await(s, &over), 1);
		CHECK_EQ(taio_inflight(s->ring), 0);
	}
}

TEST_CASE(batch_is_taken_up_to_the_room, ON(WAITING))
{
	struct op ops[ENTRIES + 4];
	struct iocb *iocbs[ENTRIES + 4];
	char bytes[ENTRIES + 4];
	struct link *link = scene_open(s, ENTRIES);

	for (unsigned int i = 0; i < ARRAY_LEN(ops); i++) {
		op_read(&ops[i], link->afd_in, &bytes[i], 1);
		iocbs[i] = &ops[i].iocb;
	}
	CHECK_EQ(taio_submit(s->ring, 0, iocbs), 0);
	CHECK_EQ(taio_submit(s->ring, 3, iocbs), 3);
	CHECK_EQ(taio_submit(s->ring, ENTRIES + 1, iocbs + 3), ENTRIES - 3);
	CHECK_EQ(taio_submit(s->ring, 4, iocbs + ENTRIES), -EAGAIN);
	stay_quiet(s);
	cancel_all(s, ops, ENTRIES);
	CHECK_EQ(taio_submit(s->ring, 4, iocbs + ENTRIES), 4);
	cancel_all(s, ops + ENTRIES, 4);
	stay_quiet(s);
}

TEST_CASE(batch_is_taken_up_to_a_bad_op, ON(WAITING))
{
	struct op ops[3];
	struct iocb *iocbs[] = {&ops[0].iocb, &ops[1].iocb, &ops[2].iocb};
	struct link *link = scene_open(s, ENTRIES);
	char bytes[3];

	for (unsigned int i = 0; i < ARRAY_LEN(ops); i++)
		op_read(&ops[i], link->afd_in, &bytes[i], 1);
	ops[1].iocb.aio_lio_opcode = 77;
	CHECK_EQ(taio_submit(s->ring, 3, iocbs), 1);
	CHECK_EQ(taio_submit(s->ring, 2, iocbs + 1), -EINVAL);
	CHECK_EQ(taio_inflight(s->ring), 1);
	peer_write(link, "xyz", 3);
	CHECK_EQ(await(s, &ops[0]), 1);
	stay_quiet(s);
	CHECK_EQ(ops[1].events + ops[2].events, 0);
}

enum spoil {
	OPCODE_FSYNC,
	OPCODE_NOOP,
	OPCODE_NEGATIVE,
	COMPLETION_FD,
	RW_FLAG,
	NOT_ATTACHED,
	FD_NEGATIVE,
	FD_HUGE
};

static const struct {
	enum spoil spoil;
	int want;
} bad_ops[] = {
	{OPCODE_FSYNC, -EINVAL}, {OPCODE_NOOP, -EINVAL}, {OPCODE_NEGATIVE, -EINVAL}, {COMPLETION_FD, -EINVAL},
	{RW_FLAG, -EINVAL},	 {NOT_ATTACHED, -EBADF}, {FD_NEGATIVE, -EBADF},	     {FD_HUGE, -EBADF},
};

static void op_spoil(struct op *op, enum spoil spoil, int other_fd)
{
	switch (spoil) {
	case OPCODE_FSYNC:
		op->iocb.aio_lio_opcode = IO_CMD_FSYNC;
		break;
	case OPCODE_NOOP:
		op->iocb.aio_lio_opcode = IO_CMD_NOOP;
		break;
	case OPCODE_NEGATIVE:
		op->iocb.aio_lio_opcode = -1;
		break;
	case COMPLETION_FD:
		io_set_eventfd(&op->iocb, other_fd);
		break;
	case RW_FLAG:
		op->iocb.aio_rw_flags = RWF_APPEND;
		break;
	case NOT_ATTACHED:
		op->iocb.aio_fildes = other_fd;
		break;
	case FD_NEGATIVE:
		op->iocb.aio_fildes = -1;
		break;
	case FD_HUGE:
		op->iocb.aio_fildes = 1 << 30;
		break;
	}
}

/* Every opcode with every fault is refused and leaves nothing behind. */
TEST_CASE(bad_arguments_are_refused, ON(WAITING))
{
	struct iovec iov;
	struct link *link = scene_open(s, ENTRIES);
	struct op op;
	char byte;

	iov = (struct iovec){&byte, 1};
	for (unsigned int i = 0; i < 5 * ARRAY_LEN(bad_ops); i++) {
		const struct iovec *vec = &iov;

		switch (i / ARRAY_LEN(bad_ops)) {
		case 0:
			op_read(&op, link->afd_in, &byte, 1);
			break;
		case 1:
			op_write(&op, link->afd_out, &byte, 1);
			break;
		case 2:
			op_readv(&op, link->afd_in, vec, 1);
			break;
		case 3:
			op_writev(&op, link->afd_out, vec, 1);
			break;
		default:
			op_poll(&op, link->afd_in, POLLIN);
		}
		op_spoil(&op, bad_ops[i % ARRAY_LEN(bad_ops)].spoil, link->peer_in);
		note("opcode %u, fault %u", i / (unsigned int)ARRAY_LEN(bad_ops),
		     bad_ops[i % ARRAY_LEN(bad_ops)].spoil);
		CHECK_EQ(op_try(s, &op), bad_ops[i % ARRAY_LEN(bad_ops)].want);
	}
	note("%s", "");
	CHECK_EQ(taio_submit(s->ring, -1, NULL), -EINVAL);
	CHECK_EQ(taio_inflight(s->ring), 0);
	stay_quiet(s);
}

static void *write_soon(void *arg)
{
	peer_write(arg, "x", 1);
	return NULL;
}

TEST_CASE(fd_wakes_a_sleeper, ON(WAITING))
{
	struct io_event event;
	struct link *link;
	pthread_t thread;
	struct op op;
	char byte;

	s->by_fd = true;
	link = scene_open(s, ENTRIES);
	for (int i = 0; i < 50; i++) {
		read_start(s, &op, link->afd_in, &byte, 1);
		CHECK_EQ(taio_reap(s->ring, 1, &event), 0);
		CHECK_EQ(pthread_create(&thread, NULL, write_soon, link), 0);
		CHECK(is_readable(taio_fd(s->ring), 10000));
		pthread_join(thread, NULL);
		CHECK_EQ(await(s, &op), 1);

		op_read(&op, link->afd_in, &byte, 1); /* the event of a cancel wakes as well */
		op_start(s, &op);
		CHECK_EQ(taio_reap(s->ring, 1, &event), 0);
		op_cancel(s, &op);
		CHECK(is_readable(taio_fd(s->ring), 10000));
		CHECK_EQ(await(s, &op), -ECANCELED);
	}
}

/* The kernel writes the eventfd after it has filled an event, for each operation that has waited. */
static bool is_signalled_by_kernel(const struct scene *s)
{
	return !strcmp(s->engine, "poll") || !strncmp(s->engine, "kmod:", 5);
}

/*
 * Reaps until there is nothing; then there may be one spurious wake-up, not more. Where the kernel
 * signals, it may be late with each of the @ended waits that have ended since the fd was quiet.
 */
static void check_quiet_fd(struct scene *s, int ended)
{
	int wakes = 0, most = is_signalled_by_kernel(s) && ended > 1 ? ended : 1;
	struct io_event event;

	CHECK_EQ(taio_reap(s->ring, 1, &event), 0);
	for (int i = 0; i < 10; i++) {
		wakes += is_readable(taio_fd(s->ring), 2);
		CHECK_EQ(taio_reap(s->ring, 1, &event), 0);
	}
	CHECK(wakes <= most);
}

TEST_CASE(fd_is_quiet_after_empty_reap, ON(WAITING), AS(CASE_VARIANTS))
{
	struct link *link = scene_open(s, ENTRIES);
	struct op reads[4], op;
	char bytes[4];

	check_quiet_fd(s, 0);
	reads_start(s, link, reads, bytes, 4);
	check_quiet_fd(s, 0);
	peer_write(link, "ab", 2);
	while (taio_inflight(s->ring) > 2)
		collect(s, -1);
	/* All four were woken. */
	check_quiet_fd(s, 4);
	for (unsigned int i = 0; i < 4; i++)
		if (!reads[i].events)
			CHECK_EQ(op_cancel(s, &reads[i]), 0);
	await_all(s, reads, 4);
	check_quiet_fd(s, 2);
	fill(s, link, 0, 0);
	write_start(s, &op, link->afd_out, "x", 1);
	check_quiet_fd(s, 1);
	op_cancel(s, &op);
	await(s, &op);
	check_quiet_fd(s, 1);
}

/* Data that no operation waits for wakes nobody, even if an operation of the other direction waits. */
TEST_CASE(unasked_data_does_not_spin, ON(SOCKETS))
{
	struct link *link = scene_open(s, ENTRIES);
	struct op op;
	char buf[8];

	read_start(s, &op, link->afd_in, buf, 1);
	peer_write(link, "abc", 3);
	CHECK_EQ(await(s, &op), 1);
	check_quiet_fd(s, 1);
	fill(s, link, 0, 0);
	write_start(s, &op, link->afd_out, "x", 1);
	peer_write(link, "def", 3);
	check_quiet_fd(s, 1);
	op_cancel(s, &op);
	await(s, &op);
	read_start(s, &op, link->afd_in, buf, 8);
	CHECK_EQ(await(s, &op), 5);
	CHECK_EQ(memcmp(buf, "bcdef", 5), 0);
}

TEST_CASE(wait_times_out, ON(WAITING))
{
	uint64_t begin_us;
	struct io_event event;
	struct link *link = scene_open(s, ENTRIES);
	struct op op;
	char byte;

	read_start(s, &op, link->afd_in, &byte, 1);
	CHECK_EQ(taio_wait(s->ring, 1, &event, 0), 0);
	begin_us = clock_us();
	CHECK_EQ(taio_wait(s->ring, 1, &event, 50), 0);
	CHECK(clock_us() - begin_us >= 49000);
	op_cancel(s, &op);
	await(s, &op);
}

static void on_alarm(int signal) {}

TEST_CASE(wait_is_interrupted, ON(WAITING))
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval soon = {.it_interval.tv_usec = 20000, .it_value.tv_usec = 20000}, never = {0};
	struct io_event event;
	struct link *link = scene_open(s, ENTRIES);
	struct op op;
	char byte;

	read_start(s, &op, link->afd_in, &byte, 1);
	CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
	CHECK_EQ(taio_wait(s->ring, 1, &event, 10000), -EINTR);
	CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
	op_cancel(s, &op);
	CHECK_EQ(await(s, &op), -ECANCELED);
}

static unsigned int aio_max_nr(void)
{
	FILE *file = fopen("/proc/sys/fs/aio-max-nr", "r");
	unsigned int value = 0;

	CHECK(file);
	CHECK_EQ(fscanf(file, "%u", &value), 1);
	fclose(file);
	return value;
}

/* Opens rings until one fails; returns how many are open. A failed open must not touch its pointer. */
static unsigned int rings_open(const char *engine, struct taio **rings, unsigned int max, int *ret, char *why)
{
	struct taio_params params = {.engine = engine, .entries = EXHAUST_ENTRIES, .slots = EXHAUST_ENTRIES};
	struct taio *const untouched = (struct taio *)rings;
	unsigned int n;

	for (n = 0; n < max; n++) {
		rings[n] = untouched;
		*ret = taio_open(&rings[n], &params, why);
		if (*ret) {
			CHECK(rings[n] == untouched);
			break;
		}
	}
	return n;
}

/* Uses up fs.aio-max-nr for a moment. An engine that needs none of it opens all rings. */
TEST_CASE(open_names_an_exhausted_sysctl, ON(NONE))
{
	static struct taio *rings[EXHAUST_RINGS];
	unsigned int limit = aio_max_nr(), n;
	char why[TAIO_WHY_LEN] = "", value[16];
	int ret = 0;

	if (limit > EXHAUST_ENTRIES * (EXHAUST_RINGS - 1))
		skip("fs.aio-max-nr = %u is too much to exhaust", limit);
	n = rings_open(s->engine, rings, EXHAUST_RINGS, &ret, why);
	while (n)
		taio_close(rings[--n]);
	if (ret || !strcmp(s->engine, "poll")) {
		note("%s", why);
		snprintf(value, sizeof(value), "%u", limit);
		CHECK_EQ(ret, -EAGAIN);
		CHECK(strstr(why, "fs.aio-max-nr"));
		CHECK(strstr(why, value));
		CHECK(!strchr(why, '\n'));
	}
	scene_ring(s, ENTRIES, 0); /* and then a ring opens again */
}

#define GROWN 64

/* Takes all slots of fs.aio-max-nr but @left. NULL: so few are free already. */
static struct taio *slots_take(unsigned int left)
{
	struct taio_slots slots;
	struct taio *ring = NULL;
	char why[TAIO_WHY_LEN];

	CHECK_EQ(taio_slots(&slots, true), 0);
	if (slots.max - slots.taken > left) {
		struct taio_params params = {.engine = "poll"};

		params.entries = params.slots = (unsigned int)(slots.max - slots.taken) - left;
		if (params.entries > EXHAUST_ENTRIES * 16)
			skip("fs.aio-max-nr = %ld is too much to exhaust", slots.max);
		CHECK_EQ(taio_open(&ring, &params, why), 0);
		CHECK_EQ(taio_slots(&slots, true), 0);
		CHECK(slots.pid > 0);
	}
	return ring;
}

/* A ring of several contexts: each operation goes to one with room, and is found there by its cancel. */
TEST_CASE(ring_takes_slots_as_it_needs_them, ON(STREAMS), AS(CASE_VARIANTS))
{
	struct op ops[GROWN];
	char bytes[GROWN];
	struct link *link;

	s->slots = 1;
	link = scene_open(s, GROWN);
	for (int turn = 0; turn < 3; turn++) {
		reads_start(s, link, ops, bytes, GROWN);
		CHECK_EQ(taio_capacity(s->ring), GROWN);
		op_cancel(s, &ops[GROWN - 1]);
		CHECK_EQ(await(s, &ops[GROWN - 1]), -ECANCELED);
		peer_write(link, "12345678", 8);
		cancel_all(s, ops, GROWN - 1);
		CHECK_EQ(taio_inflight(s->ring), 0);
	}
}

TEST_CASE(ring_without_further_slots_goes_on_with_what_it_has, ON(TCP))
{
	struct op ops[GROWN], over;
	char bytes[GROWN], byte;
	unsigned int room;
	struct link *link;
	struct taio *others;

	s->slots = 4;
	link = scene_open(s, GROWN);
	room = taio_capacity(s->ring);
	if (room == GROWN) /* an engine without slots */
		return;
	others = slots_take(3);
	CHECK_EQ(taio_reserve(s->ring, room), 0);
	CHECK_EQ(taio_reserve(s->ring, GROWN), -EAGAIN);
	room = taio_capacity(s->ring);
	reads_start(s, link, ops, bytes, room);
	op_read(&over, link->afd_in, &byte, 1);
	CHECK_EQ(op_try(s, &over), -EAGAIN);
	taio_close(others);
	CHECK_EQ(taio_reserve(s->ring, GROWN), 0);
	op_start(s, &over);
	op_cancel(s, &over);
	CHECK_EQ(await(s, &over), -ECANCELED);
	cancel_all(s, ops, room);
}

/* All of one engine, and none is left open where there is too little for the last. */
TEST_CASE(rings_are_opened_together_or_not_at_all, ON(NONE))
{
	struct taio_params params = {.engine = s->engine};
	struct taio *rings[2], *others;
	struct taio_slots before, after;
	char why[TAIO_WHY_LEN] = "";

	CHECK_EQ(taio_open_rings(rings, 2, &params, why), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(strcmp(taio_name(rings[i]), s->engine), 0);
		taio_close(rings[i]);
	}
	if (!is_signalled_by_kernel(s)) /* an engine without slots */
		return;
	others = slots_take(100); /* enough for the first */
	CHECK_EQ(taio_slots(&before, false), 0);
	CHECK_EQ(taio_open_rings(rings, 2, &params, why), -EAGAIN);
	CHECK(strstr(why, "ring 2 of 2: ") && strstr(why, "fs.aio-max-nr"));
	CHECK_EQ(taio_slots(&after, false), 0);
	CHECK_EQ(after.taken, before.taken);
	params.engine = "auto";
	CHECK_EQ(taio_open_rings(rings, 2, &params, why), 0);
	note("%s", why);
	CHECK(!taio_takes_slots(rings[0]));
	CHECK(taio_name(rings[0]) == taio_name(rings[1]));
	CHECK(strstr(why, "ring 2 of 2: "));
	taio_close(rings[0]);
	taio_close(rings[1]);
	taio_close(others);
}

TEST_CASE(unknown_engine_is_einval, ON(NONE), AS(CASE_ONCE))
{
	static const char *const names[] = {"no-such-engine", "poll:no-such-policy", "threads:", ":", ""};

	for (unsigned int i = 0; i < ARRAY_LEN(names); i++) {
		struct taio_params params = {.engine = names[i]};
		char why[TAIO_WHY_LEN] = "";
		struct taio *ring = NULL;

		CHECK_EQ(taio_open(&ring, &params, why), -EINVAL);
		CHECK(!ring);
		CHECK(strstr(why, names[i]) && *why);
		CHECK_EQ(taio_open(&ring, &params, NULL), -EINVAL);
	}
	taio_close(NULL);
}

/* auto takes the first engine of the table that works, and says which and why. */
TEST_CASE(auto_picks_what_works_and_says_why, ON(NONE), AS(CASE_ONCE))
{
	static const char *const names[] = {NULL, "auto"};
	struct taio_probe probe = {0};

	for (unsigned int i = 0; taio_probe(i, &probe) && !probe.works; i++)
		CHECK(*probe.why);
	CHECK(probe.works);
	for (unsigned int i = 0; i < ARRAY_LEN(names); i++) {
		struct taio_params params = {.engine = names[i]};
		char why[TAIO_WHY_LEN] = "";

		CHECK_EQ(taio_open(&s->ring, &params, why), 0);
		CHECK_EQ(strcmp(taio_name(s->ring), probe.name), 0);
		CHECK(strstr(why, probe.name) && strlen(why) > strlen(probe.name));
		note("%s", why);
		scene_close_ring(s);
	}
}

TEST_CASE(name_is_what_was_asked_for, ON(NONE))
{
	scene_ring(s, 0, 0);
	CHECK_EQ(strcmp(taio_name(s->ring), s->engine), 0);
	CHECK(taio_fd(s->ring) >= 0);
	CHECK(fcntl(taio_fd(s->ring), F_GETFD) & FD_CLOEXEC);
}
