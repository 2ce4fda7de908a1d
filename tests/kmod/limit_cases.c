/* SPDX-License-Identifier: MIT */
/*
 * RLIMIT_FSIZE; the caps of the helper pool: user_max for each user, helpers_max for all together; and how
 * many accounts of users are kept.
 */
#include "semantics.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIMIT 8192

static _Atomic unsigned int sigxfszs;

static void on_sigxfsz(int sig)
{
	(void)sig;
	sigxfszs++;
}

static void set_fsize(rlim_t soft)
{
	struct rlimit limit;

	SYS(getrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_cur = soft;
	SYS(setrlimit(RLIMIT_FSIZE, &limit));
}

static void start_write_at(struct scene *s, struct op *op, int fd, long long offset, size_t nbytes)
{
	static char zeros[2 * LIMIT];

	op_write(op, fd, zeros, nbytes);
	op->iocb.u.c.offset = offset;
	op_start(&s->ring, op);
}

static long write_at(struct scene *s, int fd, long long offset, size_t nbytes)
{
	struct op op;

	start_write_at(s, &op, fd, offset, nbytes);
	return await(&s->ring, &op);
}

TEST_CASE(fsize_limit_holds_for_helpers, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
{
	static const struct {
		long long offset;
		size_t nbytes;
	} rows[] = {
		{0, LIMIT}, {LIMIT - 100, 100}, {LIMIT - 100, 200}, {LIMIT, 1},
		{LIMIT, 0}, {LIMIT + 1000, 10}, {0, LIMIT + 1},	    {LIMIT - 1, 1},
	};
	struct sigaction action = {.sa_handler = on_sigxfsz};
	int file = scratch_file(0), wrapped = scratch_file(0), proxy = proxy_make(s, wrapped);

	SYS(sigaction(SIGXFSZ, &action, NULL));
	scene_ring(s, 4);
	set_fsize(LIMIT);
	for (unsigned int i = 0; i < ARRAY_LEN(rows); i++) {
		long want = write_at(s, file, rows[i].offset, rows[i].nbytes), got;
		unsigned int before = sigxfszs;

		got = write_at(s, proxy, rows[i].offset, rows[i].nbytes);
		if (got != want)
			fail_at(HERE(), "%zu bytes at %lld: %ld, on the file itself %ld", rows[i].nbytes,
				rows[i].offset, got, want);
		CHECK_EQ(sigxfszs, before);
	}
	CHECK_EQ(write_at(s, proxy, LIMIT, 1), -EFBIG);
	set_fsize(RLIM_INFINITY);
	CHECK_EQ(write_at(s, proxy, LIMIT, 1), 1);
}

TEST_CASE(fsize_limit_of_the_submission_counts, ON(NONE), AS(CASE_BLOCK))
{
	int proxy = proxy_make(s, scratch_file(0));
	struct op limited, unlimited;
	struct jam jam;

	scene_ring(s, 4);
	jam_start(&jam);
	start_write_at(s, &unlimited, proxy, LIMIT, 1);
	set_fsize(LIMIT);
	start_write_at(s, &limited, proxy, LIMIT, 1);
	stay_quiet(&s->ring);
	set_fsize(RLIM_INFINITY);
	jam_clear(&jam);
	CHECK_EQ(await(&s->ring, &limited), -EFBIG);
	CHECK_EQ(await(&s->ring, &unlimited), 1);
	jam_end(&jam);
}

TEST_CASE(fsize_without_the_bit_is_unlimited, ON(NONE), AS(CASE_BLOCK))
{
	int proxy = wrap_state(scratch_file(0), s->policy, s->flags, TAIO_STATE_FILE & ~TAIO_STATE_FSIZE);

	scene_ring(s, 4);
	set_fsize(LIMIT);
	CHECK_EQ(write_at(s, proxy, LIMIT, 100), 100);
	set_fsize(RLIM_INFINITY);
}

/* Nothing ends meanwhile: the new cap itself lets the operation go on that waits below the old one. */
TEST_CASE(raised_cap_starts_what_waits, ON(NONE), AS(CASE_BLOCK))
{
	int proxy = proxy_make(s, scratch_file(0));
	struct op op;
	struct jam jam;
	long pool;

	scene_ring(s, 4);
	jam_start(&jam);
	pool = param_set("helpers_max", ARRAY_LEN(jam.ops));
	start_write_at(s, &op, proxy, 0, 1);
	stay_quiet(&s->ring);
	param_set("user_max", jam.user_max);
	stay_quiet(&s->ring);
	param_set("helpers_max", pool);
	CHECK_EQ(await(&s->ring, &op), 1);
	for (unsigned int i = 0; i < ARRAY_LEN(jam.ops); i++)
		CHECK(!jam.ops[i].events);
	jam_clear(&jam);
	jam_end(&jam);
}

/* --- two users --- */

enum { CAP = 4, GREEDY_READS = 24, MODEST_USER = 1002, GREEDY_USER = 1001 };

/* What the children use; made before they become somebody, and shared by all. */
struct crowd {
	struct link *links[GREEDY_READS + 1]; /* the last is the modest user's */
	int to_greedy[2], from_greedy[2];
};

static void tell(int fd)
{
	CHECK_EQ(write(fd, "", 1), 1);
}

static void greedy_user(void *arg)
{
	struct crowd *crowd = arg;
	struct op ops[GREEDY_READS];
	char bytes[GREEDY_READS];
	struct ring ring;

	become_user(GREEDY_USER, 0);
	ring_open(&ring, GREEDY_READS);
	for (unsigned int i = 0; i < GREEDY_READS; i++)
		read_start(&ring, &ops[i], crowd->links[i]->afd_in, &bytes[i], 1);
	tell(crowd->from_greedy[1]);
	fd_read(crowd->to_greedy[0], bytes, 1);
	for (unsigned int i = 0; i < GREEDY_READS; i++)
		CHECK_EQ(await(&ring, &ops[i]), 1);
	ring_close(&ring);
}

static void modest_user(void *arg)
{
	struct crowd *crowd = arg;
	struct link *link = crowd->links[GREEDY_READS];
	struct ring ring;
	struct op op;
	char byte;

	become_user(MODEST_USER, 0);
	ring_open(&ring, 4);
	for (unsigned int i = 0; i < 100; i++) {
		read_start(&ring, &op, link->afd_in, &byte, 1);
		peer_write(link, "x", 1);
		CHECK_EQ(await(&ring, &op), 1);
		write_start(&ring, &op, link->afd_out, "y", 1);
		CHECK_EQ(await(&ring, &op), 1);
		peer_read(link, &byte, 1);
	}
	ring_close(&ring);
}

TEST_CASE(user_at_its_cap_hinders_no_other, ON(STREAMS), AS(CASE_BLOCK))
{
	/* All that the others could want is one user's, if nothing holds him. */
	long cap = param_set("user_max", CAP), pool = param_set("helpers_max", 2 * CAP);
	struct crowd crowd;
	pid_t greedy;
	char byte;

	for (unsigned int i = 0; i < ARRAY_LEN(crowd.links); i++)
		crowd.links[i] = scene_link(s);
	scratch_pipe(crowd.to_greedy);
	scratch_pipe(crowd.from_greedy);
	greedy = child_start(greedy_user, &crowd);
	fd_read(crowd.from_greedy[0], &byte, 1);
	CHECK_EQ(child_reap(child_start(modest_user, &crowd), 60000), 0);
	for (unsigned int i = 0; i < GREEDY_READS; i++)
		peer_write(crowd.links[i], "x", 1);
	tell(crowd.to_greedy[1]);
	CHECK_EQ(child_reap(greedy, 60000), 0);
	param_set("user_max", cap);
	param_set("helpers_max", pool);
}

/* --- a full pool --- */

enum { POOL = 8, PAIRS = 24, NBYTES = 100000 };

struct pair {
	struct link *link;
	struct op read, write;
	char byte;
	size_t drained;
};

/* What the far end has got of the write so far. True when that is all. */
static bool drain(struct pair *pair)
{
	char got[4096];
	size_t n = fd_read_some(pair->link->peer_in, got, sizeof(got));

	pattern_check(got, n, pair->drained, 1);
	pair->drained += n;
	return pair->write.events && pair->drained == (size_t)pair->write.res;
}

/* Reads that get no data before the writes are through, several times more than there are helpers. */
TEST_CASE(full_pool_never_starves_writes, ON(STREAMS), AS(CASE_BLOCK))
{
	long pool = param_set("helpers_max", POOL), user = param_set("user_max", POOL);
	static char sent[NBYTES];
	struct pair pairs[PAIRS] = {0};

	pattern_fill(sent, NBYTES, 0, 1);
	scene_ring(s, 2 * PAIRS);
	for (unsigned int i = 0; i < PAIRS; i++) {
		pairs[i].link = scene_link(s);
		read_start(&s->ring, &pairs[i].read, pairs[i].link->afd_in, &pairs[i].byte, 1);
	}
	for (unsigned int i = 0; i < PAIRS; i++)
		write_start(&s->ring, &pairs[i].write, pairs[i].link->afd_out, sent, NBYTES);
	for (unsigned int left = PAIRS; left > 0; collect(&s->ring, 0)) {
		left = 0;
		for (unsigned int i = 0; i < PAIRS; i++)
			left += !drain(&pairs[i]);
	}
	for (unsigned int i = 0; i < PAIRS; i++) {
		CHECK(pairs[i].write.res > 0 && !pairs[i].read.events);
		peer_write(pairs[i].link, "x", 1);
	}
	for (unsigned int i = 0; i < PAIRS; i++)
		CHECK_EQ(await(&s->ring, &pairs[i].read), 1);
	param_set("helpers_max", pool);
	param_set("user_max", user);
}

struct terminal {
	int ends[2], proxy;
	struct op op;
	char byte;
};

static void terminal_open(struct terminal *terminal)
{
	terminal_pair(terminal->ends);
	terminal->proxy = wrap(terminal->ends[0], TAIO_POLICY_BLOCK, 0);
}

/* Terminals that nobody reads take all that writes may have; what frees them are reads of their other ends.
 */
TEST_CASE(full_pool_never_starves_reads, ON(NONE), AS(CASE_BLOCK))
{
	enum { TERMINALS = 12, FULL = 64 * 1024 };
	long pool = param_set("helpers_max", POOL), user = param_set("user_max", POOL);
	static struct terminal terminals[TERMINALS];
	static char zeros[FULL], got[FULL];
	unsigned int left = TERMINALS;
	struct op op;

	scene_ring(s, TERMINALS + 1);
	for (unsigned int i = 0; i < TERMINALS; i++) {
		terminal_open(&terminals[i]);
		write_start(&s->ring, &terminals[i].op, terminals[i].proxy, zeros, FULL);
	}
	stay_quiet(&s->ring);
	while (left > 0) {
		left = 0;
		for (unsigned int i = 0; i < TERMINALS; i++) {
			int proxy;

			if (terminals[i].op.events)
				continue;
			left++;
			proxy = wrap(terminals[i].ends[1], TAIO_POLICY_BLOCK, 0);
			read_start(&s->ring, &op, proxy, got, sizeof(got));
			if (!is_readable(terminals[i].ends[1], 1))
				proxy_cancel(proxy);
			await(&s->ring, &op);
			close(proxy);
		}
	}
	for (unsigned int i = 0; i < TERMINALS; i++)
		CHECK(terminals[i].op.res > 0);
	param_set("helpers_max", pool);
	param_set("user_max", user);
}

/* --- one that leaves makes room for two --- */

struct reader {
	struct terminal terminals[3];
	unsigned int n;
	uid_t uid;
	int to[2], from[2];
};

static void reader_main(void *arg)
{
	struct reader *reader = arg;
	struct ring ring;
	char byte;

	become_user(reader->uid, 0);
	ring_open(&ring, 4);
	for (unsigned int i = 0; i < reader->n; i++)
		read_start(&ring, &reader->terminals[i].op, reader->terminals[i].proxy,
			   &reader->terminals[i].byte, 1);
	tell(reader->from[1]);
	fd_read(reader->to[0], &byte, 1);
	for (unsigned int i = 0; i < reader->n; i++)
		CHECK_EQ(await(&ring, &reader->terminals[i].op), 1);
	ring_close(&ring);
}

static pid_t reader_start(struct reader *reader, unsigned int n, uid_t uid)
{
	pid_t pid;
	char byte;

	reader->n = n;
	reader->uid = uid;
	for (unsigned int i = 0; i < n; i++)
		terminal_open(&reader->terminals[i]);
	scratch_pipe(reader->to);
	scratch_pipe(reader->from);
	pid = child_start(reader_main, reader);
	fd_read(reader->from[0], &byte, 1);
	return pid;
}

/*
 * Of eight helpers six may read, and of a user's four three. We have three reads and a write, the second
 * user has three reads, and the third waits with his. When one of our reads is cancelled there is room for
 * him, and for another write of ours.
 */
TEST_CASE(what_leaves_may_make_room_for_two, ON(NONE), AS(CASE_BLOCK))
{
	long user = param_set("user_max", CAP), pool = param_set("helpers_max", 2 * CAP);
	static struct reader second, third;
	struct terminal reads[3], full;
	static char zeros[1 << 20];
	pid_t pids[2];
	struct op op;

	scene_ring(s, 8);
	for (unsigned int i = 0; i < 3; i++) {
		terminal_open(&reads[i]);
		read_start(&s->ring, &reads[i].op, reads[i].proxy, &reads[i].byte, 1);
	}
	terminal_open(&full);
	write_start(&s->ring, &full.op, full.proxy, zeros, sizeof(zeros));
	pids[0] = reader_start(&second, 3, MODEST_USER);
	pids[1] = reader_start(&third, 1, GREEDY_USER);
	start_write_at(s, &op, proxy_make(s, scratch_file(0)), 0, 1);
	stay_quiet(&s->ring);
	CHECK_EQ(op_cancel(&s->ring, &reads[0].op), 0);
	CHECK_EQ(await(&s->ring, &reads[0].op), -ECANCELED);
	CHECK_EQ(await(&s->ring, &op), 1);
	CHECK_EQ(write(third.terminals[0].ends[1], "x", 1), 1);
	tell(third.to[1]);
	CHECK_EQ(child_reap(pids[1], 60000), 0);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(write(second.terminals[i].ends[1], "x", 1), 1);
	tell(second.to[1]);
	CHECK_EQ(child_reap(pids[0], 60000), 0);
	CHECK_EQ(proxy_cancel(full.proxy), 1);
	await(&s->ring, &full.op);
	for (unsigned int i = 1; i < 3; i++) {
		CHECK_EQ(op_cancel(&s->ring, &reads[i].op), 0);
		CHECK_EQ(await(&s->ring, &reads[i].op), -ECANCELED);
	}
	param_set("helpers_max", pool);
	param_set("user_max", user);
}

enum { KEPT_MAX = 64, TENANTS = 3 * KEPT_MAX, FIRST_TENANT = 30000, FREED_MS = 4000 };

/* As @uid, whose account is then without use. */
static void attach_and_close(int fd, uid_t uid)
{
	SYS(syscall(SYS_setresuid, uid, -1, -1));
	close(wrap(fd, TAIO_POLICY_PARK, 0));
	SYS(syscall(SYS_setresuid, 0, -1, -1));
}

/* Does @uid get another account? */
static bool is_forgotten(int fd, uid_t uid)
{
	uint64_t made = counter_get("users_made");

	attach_and_close(fd, uid);
	return counter_get("users_made") != made;
}

static uint64_t accounts(void)
{
	return counter_get("users_made") - counter_get("users_freed");
}

/* A container has 65,536 of them. The latest are kept for a while. */
TEST_CASE(accounts_without_use_are_bounded, ON(NONE), AS(CASE_ONCE))
{
	int64_t until;
	int fds[2];

	scratch_pipe(fds);
	for (unsigned int i = 0; i < TENANTS; i++)
		attach_and_close(fds[0], FIRST_TENANT + i);
	for (until = now_ms() + FREED_MS; accounts() > KEPT_MAX && now_ms() < until;)
		pause_ms(1);
	CHECK(accounts() <= KEPT_MAX);
	CHECK(!is_forgotten(fds[0], FIRST_TENANT + TENANTS - 1));
	CHECK(is_forgotten(fds[0], FIRST_TENANT));
}
