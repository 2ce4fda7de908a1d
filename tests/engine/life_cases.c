/* SPDX-License-Identifier: MIT */
/*
 * Rings, descriptors and processes that end, and too few helpers.
 */
#include "suite.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POISON	   0x5a
#define PENDING	   6
#define EXIT_MS	   8000
#define SUBMIT_US  1000000 /* one submit: far above any delay of the scheduler, far below for ever */
#define SUBMITS_US 2000000 /* all of them */
#define SUBMITS	   1000

static void check_poison(const char *buf, size_t nbytes)
{
	for (size_t i = 0; i < nbytes; i++)
		CHECK_EQ(buf[i], POISON);
}

static void file_checks_data_is_left(struct link *link)
{
	char buf[6];

	peer_write(link, "later", 5);
	CHECK(is_readable(link->in, 5000));
	CHECK_EQ(read(link->in, buf, sizeof(buf)), 5);
	CHECK_EQ(memcmp(buf, "later", 5), 0);
}

/* The buffers are freed once checked, which lets the address sanitizer watch them as well. */
TEST_CASE(close_lets_go_of_buffers_and_data, ON(WAITING))
{
	struct op *ops[PENDING], *write_op = malloc(sizeof(*write_op));
	char *bufs[PENDING], *out = calloc(1, 65536);

	scene_ring(s, 64, 0);
	for (unsigned int i = 0; i < PENDING; i++) {
		struct link *link = scene_link(s);

		ops[i] = malloc(sizeof(*ops[i]));
		bufs[i] = malloc(16);
		memset(bufs[i], POISON, 16);
		read_start(s, ops[i], link->afd_in, bufs[i], 16);
	}
	fill(s, s->links[0], 0, 0);
	write_start(s, write_op, s->links[0]->afd_out, out, 65536);
	stay_quiet(s);
	scene_close_ring(s);
	free(write_op);
	free(out);
	for (unsigned int i = 0; i < PENDING; i++) {
		CHECK_EQ(ops[i]->events, 0);
		file_checks_data_is_left(s->links[i]);
		check_poison(bufs[i], 16);
		free(bufs[i]);
		free(ops[i]);
	}
}

TEST_CASE(close_with_unreaped_events, ON(WAITING))
{
	struct op *ops[PENDING];
	char *buf = malloc(PENDING);

	scene_ring(s, 64, 0);
	for (unsigned int i = 0; i < PENDING; i++) {
		struct link *link = scene_link(s);

		ops[i] = malloc(sizeof(*ops[i]));
		read_start(s, ops[i], link->afd_in, &buf[i], 1);
	}
	CHECK_EQ(collect(s, 0), 0); /* from here on the fd reports events */
	for (unsigned int i = 0; i < PENDING; i++) {
		if (i % 2)
			op_cancel(s, ops[i]);
		else
			peer_write(s->links[i], "x", 1);
	}
	CHECK(is_readable(taio_fd(s->ring), 5000));
	CHECK_EQ(taio_inflight(s->ring), PENDING);
	scene_close_ring(s);
	for (unsigned int i = 0; i < PENDING; i++)
		free(ops[i]);
	free(buf);
}

static struct scene *leaver_scene; /* keeps what is in flight at exit reachable */

static void leaver_submit(struct scene *s)
{
	static struct op ops[PENDING + 1];
	static char bufs[PENDING][16], out[65536];

	leaver_scene = s;
	scene_ring(s, 64, 0);
	for (unsigned int i = 0; i < PENDING; i++) {
		link_attach(s, s->links[i]);
		read_start(s, &ops[i], s->links[i]->afd_in, bufs[i], sizeof(bufs[i]));
	}
	fill(s, s->links[0], 0, 0);
	write_start(s, &ops[PENDING], s->links[0]->afd_out, out, sizeof(out));
	stay_quiet(s);
}

static void leave(struct scene *s, int ready, void (*how)(int))
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	leaver_submit(s);
	CHECK_EQ(write(ready, "r", 1), 1);
	if (how)
		how(0);
	for (;;)
		pause();
}

/* A child submits and exits by @how, or is killed; the files must work as before. */
static void leave_in_flight(struct scene *s, void (*how)(int))
{
	int ready[2], status;
	pid_t pid;

	for (unsigned int i = 0; i < PENDING; i++)
		scene_link(s);
	CHECK_EQ(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		leave(s, ready[1], how);
	CHECK(is_readable(ready[0], EXIT_MS));
	if (!how)
		kill(pid, SIGKILL);
	status = child_reap(pid, EXIT_MS);
	if (how)
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	for (unsigned int i = 0; i < PENDING; i++)
		file_checks_data_is_left(s->links[i]);
	close(ready[0]);
	close(ready[1]);
}

TEST_CASE(exit_with_ops_in_flight, ON(WAITING))
{
	leave_in_flight(s, exit);
}

TEST_CASE(quick_exit_with_ops_in_flight, ON(WAITING))
{
	leave_in_flight(s, _exit);
}

TEST_CASE(kill_with_ops_in_flight, ON(WAITING))
{
	leave_in_flight(s, NULL);
}

/* On blocking descriptors with nothing to read and no room to write. */
TEST_CASE(submit_never_blocks, ON(WAITING))
{
	static struct op ops[SUBMITS];
	static char in[SUBMITS], out[65536];
	int64_t begin, longest = 0, total = 0;
	struct link *link = scene_open(s, SUBMITS);

	fill(s, link, 0, 0);
	for (unsigned int i = 0; i < SUBMITS; i++) {
		if (i % 2)
			op_write(&ops[i], link->afd_out, out, sizeof(out));
		else
			op_read(&ops[i], link->afd_in, &in[i], 1);
		begin = (int64_t)clock_us();
		op_start(s, &ops[i]);
		begin = (int64_t)clock_us() - begin;
		total += begin;
		longest = begin > longest ? begin : longest;
	}
	note("%d submits in %jd us, longest %jd us", SUBMITS, (intmax_t)total, (intmax_t)longest);
	CHECK(longest < SUBMIT_US);
	CHECK(total < SUBMITS_US);
	CHECK_EQ(taio_inflight(s->ring), SUBMITS);
	stay_quiet(s);
	for (unsigned int i = 0; i < SUBMITS; i++)
		CHECK_EQ(op_cancel(s, &ops[i]), 0);
	await_all(s, ops, SUBMITS);
	for (unsigned int i = 0; i < SUBMITS; i++)
		CHECK_EQ(ops[i].res, -ECANCELED);
}

#define STARVERS 32
#define HELPERS	 4

/* Both ends of each link are in the ring: what ends the waiting reads goes through the same helpers. */
TEST_CASE(waiting_reads_do_not_starve_their_writes, ON(WAITING))
{
	static struct op reads[2 * STARVERS], writes[2 * STARVERS];
	static char in[2 * STARVERS];
	int afds[STARVERS];

	scene_ring(s, 4 * STARVERS, HELPERS);
	for (unsigned int i = 0; i < STARVERS; i++) {
		struct link *link = scene_link(s);

		afds[i] = taio_attach(s->ring, link->peer_out, TAIO_CLASS_STREAM);
		CHECK(afds[i] >= 0);
	}
	for (unsigned int i = 0; i < 2 * STARVERS; i++)
		read_start(s, &reads[i], s->links[i % STARVERS]->afd_in, &in[i], 1);
	stay_quiet(s); /* every possible helper waits for a read */
	for (unsigned int i = 0; i < 2 * STARVERS; i++)
		write_start(s, &writes[i], afds[(i * 5 + 3) % STARVERS], "x", 1);
	await_all(s, writes, 2 * STARVERS);
	await_all(s, reads, 2 * STARVERS);
	for (unsigned int i = 0; i < 2 * STARVERS; i++) {
		CHECK_EQ(writes[i].res, 1);
		CHECK_EQ(reads[i].res, 1);
	}
	stay_quiet(s);
	for (unsigned int i = 0; i < STARVERS; i++)
		taio_detach(s->ring, afds[i]);
}

TEST_CASE(waiting_reads_do_not_starve_file_reads, ON(WAITING))
{
	static struct op reads[STARVERS], ops[8];
	static char in[STARVERS], data[8][512];
	struct link file;

	scene_ring(s, 2 * STARVERS, HELPERS);
	link_make(&file, LINK_FILE);
	link_attach(s, &file);
	pattern_fill(data[0], 512, 0, 5);
	CHECK_EQ(pwrite(file.in, data[0], 512, 0), 512);
	for (unsigned int i = 0; i < STARVERS; i++)
		read_start(s, &reads[i], scene_link(s)->afd_in, &in[i], 1);
	stay_quiet(s);
	for (unsigned int i = 0; i < ARRAY_LEN(ops); i++)
		read_start(s, &ops[i], file.afd_in, data[i], 512);
	await_all(s, ops, ARRAY_LEN(ops));
	for (unsigned int i = 0; i < ARRAY_LEN(ops); i++) {
		CHECK_EQ(ops[i].res, 512);
		pattern_check(data[i], 512, 0, 5);
	}
	for (unsigned int i = 0; i < STARVERS; i++)
		op_cancel(s, &reads[i]);
	await_all(s, reads, STARVERS);
	link_detach(s, &file);
	link_destroy(&file);
}

/* A thread with its own ring, links and a few thousand round trips, beside another such thread. */
static void *ring_thread(void *arg)
{
	struct scene own = *(struct scene *)arg;
	struct op reads[4], writes[4];
	char in[4];

	scene_ring(&own, 16, 0);
	for (unsigned int i = 0; i < 4; i++)
		scene_link(&own);
	for (int turn = 0; turn < 500; turn++) {
		for (unsigned int i = 0; i < 4; i++) {
			char byte = (char)(turn + (int)i);

			read_start(&own, &reads[i], own.links[i]->afd_in, &in[i], 1);
			write_start(&own, &writes[i], own.links[i]->afd_out, &byte, 1);
			CHECK_EQ(await(&own, &writes[i]), 1);
			peer_read(own.links[i], &byte, 1);
			CHECK_EQ(byte, (char)(turn + (int)i));
			if (turn % 3 == 2)
				op_cancel(&own, &reads[i]);
			else
				peer_write(own.links[i], &byte, 1);
		}
		await_all(&own, reads, 4);
		for (unsigned int i = 0; i < 4; i++)
			CHECK_EQ(reads[i].res, turn % 3 == 2 ? -ECANCELED : 1);
	}
	scene_finish(&own);
	return NULL;
}

TEST_CASE(rings_in_two_threads, ON(WAITING))
{
	pthread_t threads[2];

	for (unsigned int i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, ring_thread, s), 0);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* The number of a closed descriptor is used again for another file. */
TEST_CASE(descriptor_can_be_attached_again, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte = 0;

	for (int i = 0; i < 20; i++) {
		read_start(s, &op, link->afd_in, &byte, 1);
		if (i % 2)
			op_cancel(s, &op);
		else
			peer_write(link, "x", 1);
		CHECK_EQ(await(s, &op), i % 2 ? -ECANCELED : 1);
		link_detach(s, link);
		if (i % 3) {
			link_destroy(link);
			link_make(link, s->kind);
		}
		link_attach(s, link);
	}
	stay_quiet(s);
}

/* Proxies are for sockets, pipes and files; everything else goes without. */
TEST_CASE(proxies_are_where_the_engine_has_them, .links = LINK_WAITING | LINK_FILE)
{
	bool wanted = s->kind & (LINK_TCP | LINK_PIPE | LINK_FILE);
	struct link *link = scene_open(s, 8);

	CHECK_EQ(link->afd_in != link->in, wanted && taio_attach_fds(s->ring) == 1);
	CHECK_EQ(link->afd_out != link->out, link->afd_in != link->in);
}

TEST_CASE(attach_refuses_what_it_cannot_take, ON(WAITING))
{
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;
	int afd;

	CHECK_EQ(taio_attach(s->ring, link->in, TAIO_CLASS_STREAM), -EEXIST);
	CHECK_EQ(taio_attach(s->ring, -1, TAIO_CLASS_ASK), -EBADF);
	CHECK_EQ(taio_attach(s->ring, 100000, TAIO_CLASS_ASK), -EBADF);
	afd = link->afd_in;
	link_detach(s, link);
	op_read(&op, afd, &byte, 1);
	CHECK_EQ(op_try(s, &op), -EBADF);
	link_attach(s, link);
	peer_write(link, "x", 1);
	read_start(s, &op, link->afd_in, &byte, 1);
	CHECK_EQ(await(s, &op), 1);
}
