/* SPDX-License-Identifier: MIT */
/*
 * Streams of TLS records (kTLS): as streams without it, whatever a record makes of the bytes' arrival. Where
 * the result is the kernel's affair, another socket to which the same happens is read by read(2), and has to
 * say the same.
 */
#include "ktls.h"
#include "semantics.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define LONG_WRITE (1u << 20)
#define RECORD	   KTLS_RECORD
#define SEED	   KTLS_SEED

static const size_t sizes[] = {1, RECORD, LONG_WRITE};

/* --- bytes --- */

static void write_whole(struct scene *s, struct link *link, size_t nbytes)
{
	char *sent = ktls_pattern(nbytes), *got = malloc(nbytes);
	struct op op;

	CHECK(got);
	write_start(&s->ring, &op, link->afd_out, sent, nbytes);
	if (nbytes == LONG_WRITE)
		stay_quiet(&s->ring);
	peer_read(link, got, nbytes);
	CHECK_EQ(await(&s->ring, &op), nbytes);
	pattern_check(got, nbytes, 0, SEED);
	free(sent);
	free(got);
}

TEST_CASE(ktls_write_is_whole, ON(TCP))
{
	scene_ring(s, 1);
	for (unsigned int v = 0; v < KTLS_NVERSIONS; v++) {
		struct link *link = ktls_link(s, KTLS_VERSIONS[v]);

		for (unsigned int i = 0; i < ARRAY_LEN(sizes); i++)
			write_whole(s, link, sizes[i]);
	}
}

static void pass_through(struct scene *s, struct link *link, int far, size_t nbytes)
{
	char *sent = ktls_pattern(nbytes), *got = malloc(nbytes);
	struct op rd, wr;
	long res;

	CHECK(got);
	write_start(&s->ring, &wr, far, sent, nbytes);
	for (size_t at = 0; at < nbytes; at += (size_t)res) {
		read_start(&s->ring, &rd, link->afd_in, got + at, nbytes - at);
		res = await(&s->ring, &rd);
		CHECK(res > 0);
	}
	CHECK_EQ(await(&s->ring, &wr), nbytes);
	pattern_check(got, nbytes, 0, SEED);
	free(sent);
	free(got);
}

TEST_CASE(ktls_goes_through_proxies_at_both_ends, ON(TCP))
{
	scene_ring(s, 2);
	for (unsigned int v = 0; v < KTLS_NVERSIONS; v++) {
		struct link *link = ktls_link(s, KTLS_VERSIONS[v]);
		int far = proxy_make(s, link->peer_in);

		for (unsigned int i = 0; i < ARRAY_LEN(sizes); i++)
			pass_through(s, link, far, sizes[i]);
		close(far);
	}
}

/* A proxy of a TCP socket that learns TLS only then. */
TEST_CASE(ktls_starts_after_attach, ON(TCP))
{
	struct link *link = scene_open(s, 1);
	char buf[100];
	struct op op;

	ktls_start(link->in, TLS_1_3_VERSION);
	ktls_start(link->peer_in, TLS_1_3_VERSION);
	write_whole(s, link, RECORD);
	read_start(&s->ring, &op, link->afd_in, buf, sizeof(buf));
	stay_quiet(&s->ring);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	CHECK_EQ(buf[0], 'x');
}

/* --- reads that wait --- */

/* Into pages that are not there yet, too: a record that no page takes must not be lost. */
TEST_CASE(ktls_read_waits_for_a_record, ON(TCP))
{
	scene_ring(s, 1);
	for (unsigned int round = 0; round < 4 * KTLS_NVERSIONS; round++) {
		struct link *link = ktls_link(s, KTLS_VERSIONS[round % KTLS_NVERSIONS]);
		size_t nbytes = round & 4 ? RECORD : 100;
		char *sent = ktls_pattern(nbytes), *buf;
		struct op op;

		buf = round & 2 ? scratch_memory(RECORD) : malloc(RECORD);
		CHECK(buf);
		if (!(round & 2))
			memset(buf, 0, RECORD);
		read_start(&s->ring, &op, link->afd_in, buf, RECORD);
		stay_quiet(&s->ring);
		peer_write(link, sent, nbytes);
		CHECK_EQ(await(&s->ring, &op), nbytes);
		pattern_check(buf, nbytes, 0, SEED);
		free(sent);
	}
}

TEST_CASE(ktls_read_cancelled_takes_nothing, ON(TCP))
{
	char sent[16], got[16];
	struct link *link;
	struct op op;

	scene_ring(s, 1);
	link = ktls_link(s, TLS_1_3_VERSION);
	for (unsigned int round = 0; round < 8; round++) {
		read_start(&s->ring, &op, link->afd_in, got, sizeof(got));
		if (round & 1)
			stay_quiet(&s->ring);
		CHECK_EQ(op_cancel(&s->ring, &op), 0);
		CHECK_EQ(await(&s->ring, &op), -ECANCELED);
		pattern_fill(sent, sizeof(sent), round * sizeof(sent), SEED);
		peer_write(link, sent, sizeof(sent));
		fd_read(link->in, got, sizeof(got));
		pattern_check(got, sizeof(got), round * sizeof(sent), SEED);
	}
}

/* Half a record is nothing to read, and can be waited for, cancelled and waited for again. */
TEST_CASE(ktls_record_that_comes_in_pieces_is_read_whole, ON(TCP))
{
	static const size_t cuts[] = {1, 5, 6, 500};
	static char wire[2 * KTLS_WIRE_MAX];
	char *sent = ktls_pattern(1000), got[1000];
	struct link *link;
	size_t size, at = 0;
	struct op op;
	int fds[2];

	size = ktls_wire(wire, 2, TLS_1_3_VERSION, sent, 1000);
	tcp_pair(fds, 0);
	ktls_start(fds[0], TLS_1_3_VERSION);
	scene_ring(s, 1);
	link = ktls_link_of(s, fds);
	read_start(&s->ring, &op, link->afd_in, got, sizeof(got));
	for (unsigned int i = 0; i < ARRAY_LEN(cuts); at = cuts[i++]) {
		peer_write(link, wire + at, cuts[i] - at);
		stay_quiet(&s->ring);
	}
	peer_write(link, wire + at, size - at);
	CHECK_EQ(await(&s->ring, &op), 1000);
	pattern_check(got, 1000, 0, SEED);
	read_start(&s->ring, &op, link->afd_in, got, sizeof(got));
	peer_write(link, wire + size, size / 2);
	stay_quiet(&s->ring);
	CHECK_EQ(op_cancel(&s->ring, &op), 0);
	CHECK_EQ(await(&s->ring, &op), -ECANCELED);
	read_start(&s->ring, &op, link->afd_in, got, 10);
	stay_quiet(&s->ring);
	peer_write(link, wire + size + size / 2, size - size / 2);
	CHECK_EQ(await(&s->ring, &op), 10);
	fd_read(link->in, got + 10, 990);
	pattern_check(got, 1000, 0, SEED);
	free(sent);
}

/* --- as read(2) --- */

enum { TWIN_MS = 100 };

/* Two connections to which the same happens: of one the near end has a proxy, of the other it is read by
 * read(2). */
struct twins {
	struct scene *s;
	const char *what;
	int near[2], far[2];
	int proxy; /* of near[0] */
	unsigned int nreads;
};

/* A read(2) that would have to wait for long gives -EAGAIN. */
static void twins_make(struct twins *twins, struct scene *s, uint16_t version, bool is_far_plain)
{
	struct timeval limit = {.tv_usec = TWIN_MS * 1000};

	*twins = (struct twins){.s = s};
	for (unsigned int i = 0; i < 2; i++) {
		int fds[2];

		tcp_pair(fds, KTLS_BUFFER);
		ktls_start(fds[0], version);
		if (!is_far_plain)
			ktls_start(fds[1], version);
		twins->near[i] = fds[0];
		twins->far[i] = fds[1];
	}
	SYS(setsockopt(twins->near[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	twins->proxy = proxy_make(s, twins->near[0]);
}

static void twins_end(struct twins *twins)
{
	close(twins->proxy);
	for (unsigned int i = 0; i < 2; i++) {
		close(twins->near[i]);
		fd_close(&twins->far[i]);
	}
}

static void twins_write(const struct twins *twins, const void *data, size_t nbytes)
{
	for (unsigned int i = 0; i < 2; i++)
		CHECK_EQ(write(twins->far[i], data, nbytes), nbytes);
}

/* @op, a read of @nbytes into @got, gives what a read(2) of the twin gives. */
static void read_ends_alike(struct twins *twins, struct op *op, const char *got, size_t nbytes)
{
	struct ring *ring = &twins->s->ring;
	static char want[RECORD];
	long res, plain = ktls_read(twins->near[1], want, nbytes);

	twins->nreads++;
	if (plain == -EAGAIN) {
		stay_quiet(ring);
		CHECK_EQ(op_cancel(ring, op), 0);
		CHECK_EQ(await(ring, op), -ECANCELED);
		return;
	}
	res = await(ring, op);
	if (res != plain)
		fail_at(HERE(), "%s, read %u, of %zu bytes: %ld, but read(2) gives %ld", twins->what,
			twins->nreads, nbytes, res, plain);
	CHECK(plain <= 0 || !memcmp(got, want, (size_t)plain));
}

static void read_alike(struct twins *twins, size_t nbytes)
{
	static char got[RECORD];
	struct op op;

	read_start(&twins->s->ring, &op, twins->proxy, got, nbytes);
	read_ends_alike(twins, &op, got, nbytes);
}

TEST_CASE(ktls_short_reads_are_as_by_read, ON(TCP))
{
	static const size_t asked[] = {1, 100, 4096, RECORD, 7, RECORD};
	char *sent = ktls_pattern(RECORD);
	struct twins twins;

	scene_ring(s, 1);
	for (unsigned int v = 0; v < KTLS_NVERSIONS; v++) {
		twins_make(&twins, s, KTLS_VERSIONS[v], false);
		twins.what = "short reads";
		for (unsigned int i = 0; i < ARRAY_LEN(asked); i++) {
			if (i == 0 || i == 4) /* the one before it is read to its end */
				twins_write(&twins, sent, RECORD);
			read_alike(&twins, asked[i]);
		}
		read_alike(&twins, 1);
		twins_end(&twins);
	}
	free(sent);
}

/* What may happen to the far end, or come from it. */
static void notify(int *fd)
{
	ktls_send(*fd, KTLS_ALERT, "\1", 2); /* warning, close_notify */
}

static void shut(int *fd)
{
	SYS(shutdown(*fd, SHUT_WR));
}

static void notify_and_shut(int *fd)
{
	notify(fd);
	shut(fd);
}

static void notify_and_go_on(int *fd)
{
	notify(fd);
	CHECK_EQ(write(*fd, "later", 5), 5);
}

static void reset(int *fd)
{
	struct linger linger = {.l_onoff = 1};

	SYS(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	fd_close(fd);
}

static void key_update(int *fd)
{
	ktls_send(*fd, KTLS_HANDSHAKE, "\30\0\0\1", 5);
}

static const struct ending {
	const char *what;
	void (*happen)(int *fd);
} endings[] = {
	{"close_notify", notify},
	{"end of the stream", shut},
	{"close_notify and end", notify_and_shut},
	{"close_notify and data", notify_and_go_on},
	{"reset", reset},
	{"KeyUpdate", key_update},
};

static void all_happen(struct twins *twins, const struct ending *ending)
{
	for (unsigned int i = 0; i < 2; i++)
		ending->happen(&twins->far[i]);
}

static void end_alike(struct scene *s, uint16_t version, const struct ending *ending, bool waits)
{
	struct twins twins;
	char got[100];
	struct op op;
	long type;

	twins_make(&twins, s, version, false);
	twins.what = ending->what;
	twins_write(&twins, "hello", 5);
	read_alike(&twins, 3);
	read_alike(&twins, sizeof(got));
	if (waits) {
		read_start(&s->ring, &op, twins.proxy, got, sizeof(got));
		stay_quiet(&s->ring);
		all_happen(&twins, ending);
		read_ends_alike(&twins, &op, got, sizeof(got));
	} else {
		all_happen(&twins, ending);
	}
	for (unsigned int i = 0; i < 3; i++)
		read_alike(&twins, sizeof(got));
	/* The record, if there is one, that no read(2) takes. */
	type = ktls_receive(twins.near[1], MSG_DONTWAIT);
	CHECK_EQ(ktls_receive(twins.near[0], MSG_DONTWAIT), type);
	for (unsigned int i = 0; i < 2; i++)
		read_alike(&twins, sizeof(got));
	twins_end(&twins);
}

/* A record that is no data is no read's, and stays; what comes behind it waits. */
TEST_CASE(ktls_ends_as_by_read, ON(TCP))
{
	scene_ring(s, 1);
	for (unsigned int v = 0; v < KTLS_NVERSIONS; v++)
		for (unsigned int i = 0; i < ARRAY_LEN(endings); i++) {
			end_alike(s, KTLS_VERSIONS[v], &endings[i], false);
			end_alike(s, KTLS_VERSIONS[v], &endings[i], true);
		}
}

/* Until there is a new key no record is read; the file says neither that there is one nor that there is an
 * error. */
TEST_CASE(ktls_read_after_a_key_update_is_as_by_read, ON(TCP))
{
	struct twins twins;

	scene_ring(s, 1);
	twins_make(&twins, s, TLS_1_3_VERSION, false);
	twins.what = "reads after a KeyUpdate";
	for (unsigned int i = 0; i < 2; i++) {
		key_update(&twins.far[i]);
		CHECK_EQ(ktls_receive(twins.near[i], 0), KTLS_HANDSHAKE);
	}
	for (unsigned int i = 0; i < 2; i++)
		read_alike(&twins, 1);
	twins_write(&twins, "hello", 5);
	for (unsigned int i = 0; i < 2; i++)
		read_alike(&twins, 1);
	twins_end(&twins);
}

static void damage_alike(struct scene *s, size_t at, bool waits)
{
	static char wire[2 * KTLS_WIRE_MAX];
	struct twins twins;
	char got[100];
	struct op op;
	size_t size = ktls_wire(wire, 2, TLS_1_3_VERSION, "hello", 5);

	wire[at] ^= 1;
	twins_make(&twins, s, TLS_1_3_VERSION, true);
	twins.what = at ? "damaged record" : "no record";
	if (waits) {
		read_start(&s->ring, &op, twins.proxy, got, sizeof(got));
		stay_quiet(&s->ring);
		twins_write(&twins, wire, size);
		read_ends_alike(&twins, &op, got, sizeof(got));
	} else {
		twins_write(&twins, wire, size);
	}
	for (unsigned int i = 0; i < 3; i++)
		read_alike(&twins, sizeof(got));
	twins_write(&twins, wire + size, size);
	for (unsigned int i = 0; i < 2; i++)
		read_alike(&twins, sizeof(got));
	twins_end(&twins);
}

TEST_CASE(ktls_damage_is_told_as_by_read, ON(TCP))
{
	scene_ring(s, 1);
	for (unsigned int waits = 0; waits < 2; waits++) {
		damage_alike(s, 0, waits);  /* what type it is */
		damage_alike(s, 10, waits); /* a byte of it */
	}
}

static atomic_uint sigpipes;

static void on_sigpipe(int sig)
{
	(void)sig;
	atomic_fetch_add(&sigpipes, 1);
}

/* Which of them tells that nobody reads is the socket's affair; none by SIGPIPE. */
TEST_CASE(ktls_write_that_nobody_reads_sends_no_signal, ON(TCP))
{
	struct sigaction action = {.sa_handler = on_sigpipe};
	struct twins twins;
	struct op op;

	SYS(sigaction(SIGPIPE, &action, NULL));
	scene_ring(s, 1);
	twins_make(&twins, s, TLS_1_3_VERSION, false);
	fd_close(&twins.far[0]);
	fd_close(&twins.far[1]);
	for (unsigned int i = 0; i < 10; i++) {
		ssize_t n = send(twins.near[1], "x", 1, MSG_NOSIGNAL);

		n = n < 0 ? -errno : n;
		write_start(&s->ring, &op, twins.proxy, "x", 1);
		CHECK_EQ(await(&s->ring, &op), n);
	}
	twins_end(&twins);
	CHECK_EQ(sigpipes, 0);
}
