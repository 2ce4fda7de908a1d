/* SPDX-License-Identifier: MIT */
/*
 * Writes to streams of TLS records (kTLS) that do not get to their end at once: cancelled half-way, or behind
 * another writer, which has a lock of the socket's.
 */
#include "ktls.h"
#include "observe.h"
#include "semantics.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define LONG_WRITE (1u << 20)

/* --- ended half-way --- */

static void on_sigusr1(int sig)
{
	(void)sig;
}

/* What becomes of a connection when a write of LONG_WRITE ends half-way. */
struct rest {
	long told;  /* bytes, by the write */
	long there; /* of them, at the far end */
	long next;  /* result of the next write, of 4 bytes */
};

enum { FIRST = 100000, REST_MS = 500 };

/* What comes of @nbytes while the far end need not wait for long. */
static long drain(int far, char *got, long nbytes)
{
	struct timeval limit = {.tv_usec = REST_MS * 1000};
	long there = 0, n;

	SYS(setsockopt(far, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	while (there < nbytes && (n = ktls_read(far, got + there, (size_t)(nbytes - there))) > 0)
		there += n;
	return there;
}

struct writer {
	int fd;
	const char *sent;
	_Atomic bool is_over;
	long told;
};

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	ssize_t n = write(writer->fd, writer->sent, LONG_WRITE);

	writer->told = n < 0 ? -errno : n;
	atomic_store(&writer->is_over, true);
	return NULL;
}

/* By signals to who waits in write(2). */
static struct rest rest_of_plain(const char *sent, char *got)
{
	struct sigaction action = {.sa_handler = on_sigusr1}; /* without SA_RESTART */
	struct writer writer = {.sent = sent};
	struct rest rest;
	pthread_t thread;
	int fds[2];
	ssize_t n;

	SYS(sigaction(SIGUSR1, &action, NULL));
	ktls_pair(fds, TLS_1_3_VERSION, KTLS_BUFFER);
	writer.fd = fds[0];
	CHECK_EQ(pthread_create(&thread, NULL, writer_main, &writer), 0);
	fd_read(fds[1], got, FIRST);
	for (; !atomic_load(&writer.is_over); pause_ms(5))
		pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	rest.told = writer.told;
	rest.there = FIRST + drain(fds[1], got, rest.told - FIRST);
	n = write(fds[0], "next", 4);
	rest.next = n < 0 ? -errno : n;
	close(fds[0]);
	close(fds[1]);
	return rest;
}

static struct rest rest_of_ours(struct scene *s, struct link *link, const char *sent, char *got)
{
	struct rest rest;
	struct op op;

	write_start(&s->ring, &op, link->afd_out, sent, LONG_WRITE);
	peer_read(link, got, FIRST);
	stay_quiet(&s->ring);
	CHECK_EQ(op_cancel(&s->ring, &op), 0);
	rest.told = await(&s->ring, &op);
	rest.there = FIRST + drain(link->peer_in, got, rest.told - FIRST);
	pattern_check(got, (size_t)rest.there - FIRST, FIRST, KTLS_SEED);
	write_start(&s->ring, &op, link->afd_out, "next", 4);
	rest.next = await(&s->ring, &op);
	return rest;
}

/*
 * As on other streams: what has been written is told, and the rest is not written afterwards. What waits
 * inside the socket is interrupted as by a signal, which may leave a record half sent for good, with write(2)
 * as well.
 */
TEST_CASE(ktls_write_cancelled_half_way_tells_its_bytes, ON(TCP))
{
	bool blocks = s->policy == TAIO_POLICY_BLOCK || s->policy == TAIO_POLICY_WORKER;
	char *sent = ktls_pattern(LONG_WRITE), *got = malloc(LONG_WRITE);
	struct rest plain = {0}, ours;
	struct link *link;

	CHECK(got);
	if (blocks)
		plain = rest_of_plain(sent, got);
	scene_ring(s, 1);
	link = ktls_link(s, TLS_1_3_VERSION);
	ours = rest_of_ours(s, link, sent, got);
	note("%ld of %ld bytes, then %ld; by write(2) %ld of %ld, then %ld", ours.there, ours.told, ours.next,
	     plain.there, plain.told, plain.next);
	CHECK(ours.told >= FIRST && ours.told < (long)LONG_WRITE);
	if (blocks && plain.next != 4) {
		CHECK_EQ(ours.next, plain.next);
	} else {
		CHECK_EQ(ours.there, ours.told);
		CHECK_EQ(ours.next, 4);
		peer_read(link, got, 4);
		CHECK_EQ(memcmp(got, "next", 4), 0);
	}
	free(sent);
	free(got);
}

/* --- beside another writer --- */

struct other {
	pthread_t thread;
	_Atomic pid_t tid;
	int fd;
	const char *sent;
};

/* Waits for room in the lock of the socket's writers. */
static void *other_main(void *arg)
{
	struct other *other = arg;

	atomic_store(&other->tid, gettid());
	CHECK_EQ(write(other->fd, other->sent, LONG_WRITE), LONG_WRITE);
	return NULL;
}

static void other_start(struct other *other, int fd)
{
	other->fd = fd;
	CHECK_EQ(pthread_create(&other->thread, NULL, other_main, other), 0);
	while (!atomic_load(&other->tid))
		pause_ms(1);
	until_asleep(other->tid);
}

struct signaller {
	pthread_t thread, to;
	_Atomic bool is_over;
};

static void *signaller_main(void *arg)
{
	struct signaller *signaller = arg;

	for (; !atomic_load(&signaller->is_over); pause_ms(5))
		pthread_kill(signaller->to, SIGUSR1);
	return NULL;
}

/* A try waits for that lock, too. Where the submitter tries, a signal interrupts it; the write goes on. */
TEST_CASE(ktls_write_behind_another_is_ended_by_no_signal, ON(TCP))
{
	struct sigaction action = {.sa_handler = on_sigusr1}; /* without SA_RESTART */
	struct signaller signaller = {.to = pthread_self()};
	char *sent = ktls_pattern(LONG_WRITE), *got = malloc(LONG_WRITE);
	struct other other = {.sent = sent};
	struct link *link;
	struct op op;

	CHECK(got);
	SYS(sigaction(SIGUSR1, &action, NULL));
	scene_ring(s, 1);
	link = ktls_link(s, TLS_1_3_VERSION);
	other_start(&other, link->in);
	CHECK_EQ(pthread_create(&signaller.thread, NULL, signaller_main, &signaller), 0);
	write_start(&s->ring, &op, link->afd_out, "b", 1);
	stay_quiet(&s->ring);
	peer_read(link, got, LONG_WRITE);
	pattern_check(got, LONG_WRITE, 0, KTLS_SEED);
	CHECK_EQ(await(&s->ring, &op), 1);
	atomic_store(&signaller.is_over, true);
	pthread_join(signaller.thread, NULL);
	pthread_join(other.thread, NULL);
	peer_read(link, got, 1);
	CHECK_EQ(got[0], 'b');
	free(sent);
	free(got);
}

/* Another writer has that lock: whatever is to carry the write out is in nobody's way until a cancel. */
TEST_CASE(ktls_write_behind_another_is_cancelled, ON(TCP))
{
	char *sent = ktls_pattern(LONG_WRITE), *got = malloc(LONG_WRITE);
	struct other other = {.sent = sent};
	struct op op, next;
	struct link *link;

	CHECK(got);
	scene_ring(s, 2);
	link = ktls_link(s, TLS_1_3_VERSION);
	other_start(&other, link->in);
	write_start(&s->ring, &op, link->afd_out, "b", 1);
	write_start(&s->ring, &next, link->afd_out, "c", 1);
	stay_quiet(&s->ring);
	CHECK_EQ(op_cancel(&s->ring, &op), 0);
	CHECK_EQ(await(&s->ring, &op), -ECANCELED);
	peer_read(link, got, LONG_WRITE);
	pattern_check(got, LONG_WRITE, 0, KTLS_SEED);
	CHECK_EQ(await(&s->ring, &next), 1);
	pthread_join(other.thread, NULL);
	peer_read(link, got, 1);
	CHECK_EQ(got[0], 'c');
	free(sent);
	free(got);
}

/* --- of memory that is not there --- */

/* A try waits for no page; what does wait tells of one that there will never be. */
TEST_CASE(ktls_write_of_pages_not_there_yet_is_whole, ON(TCP))
{
	enum { NBYTES = 3 * KTLS_RECORD };
	static const char zeros[NBYTES];
	char *pages = scratch_memory(NBYTES), *got = malloc(NBYTES);
	struct link *link;
	struct op op;

	CHECK(got);
	scene_ring(s, 1);
	link = ktls_link(s, TLS_1_3_VERSION);
	memset(pages + KTLS_RECORD, 0, KTLS_RECORD); /* those before and behind are not there */
	write_start(&s->ring, &op, link->afd_out, pages, NBYTES);
	CHECK_EQ(await(&s->ring, &op), NBYTES);
	peer_read(link, got, NBYTES);
	CHECK_EQ(memcmp(got, zeros, NBYTES), 0);
	SYS(mprotect(pages, NBYTES, PROT_NONE));
	write_start(&s->ring, &op, link->afd_out, pages, NBYTES);
	CHECK_EQ(await(&s->ring, &op), -EFAULT);
	free(got);
}
