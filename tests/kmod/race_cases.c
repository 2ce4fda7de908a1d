/* SPDX-License-Identifier: MIT */
/*
 * Cancel and the peer at the same moment: the case's thread submits and cancels, the gate's thread is the
 * peer, and in some modes a second canceller. Streams carry a numbered pattern: a byte that is lost, doubled
 * or moved fails at once, in the round in which it happens. Each case counts the outcomes and fails if one of
 * them hardly occurred where both must be possible, for then it was no race.
 */
#include "kmod.h"
#include "tests/case/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SETTLE_TURNS 20000 /* some microseconds, with yields */
#define CHUNK	     64

/* Who cancels in a round. */
enum cancel_mode {
	BY_IO_CANCEL,
	BY_IOCTL,
	BY_BOTH,       /* io_cancel(2) here while the peer, its step done, uses the ioctl */
	BY_BOTH_FIRST, /* the same, but the peer's ioctl comes before its step */
	NMODES
};

struct race {
	struct gate gate;
	void (*step)(struct gate *gate, long round); /* the peer's, without cancels */
	int proxy;				     /* for the ioctl */
	struct steer steers[NMODES][2];
	struct outcomes outcomes[NMODES];
};

static enum cancel_mode mode_of(long round)
{
	return (enum cancel_mode)(round % NMODES);
}

/* Half of the rounds give the operation time to fall asleep. */
static bool settles(long round)
{
	return round / NMODES & 1;
}

static void race_step(struct gate *gate, long round)
{
	struct race *race = gate->arg;

	if (mode_of(round) == BY_BOTH_FIRST)
		proxy_cancel(race->proxy);
	race->step(gate, round);
	if (mode_of(round) != BY_BOTH)
		return;
	/* What is steered is the time from the step to the first cancel, and this may be the first. */
	spin(atomic_load_explicit(&gate->head_start, memory_order_relaxed));
	proxy_cancel(race->proxy);
}

static void race_start(struct race *race, struct scene *s, long rounds,
		       void (*step)(struct gate *gate, long round))
{
	race->step = step;
	race->gate.step = race_step;
	race->gate.arg = race;
	race->gate.s = s;
	race->gate.rounds = rounds;
	race->gate.is_pinned = true;
	gate_start(&race->gate);
}

/* True if a cancel took place that was in time to be tried. */
static bool race_cancel(struct race *race, struct op *op, enum cancel_mode mode)
{
	if (mode == BY_IOCTL)
		return proxy_cancel(race->proxy) > 0;
	return op_cancel(&race->gate.s->ring, op) == 0;
}

/* One operation, already submitted, against the peer's step. True if it has moved bytes. */
static bool race_run(struct race *race, long round, struct op *op)
{
	enum cancel_mode mode = mode_of(round);
	/* Where the cancel always comes first there is nothing to steer by. */
	struct steer *steer = &race->steers[mode == BY_BOTH_FIRST ? BY_IO_CANCEL : mode][settles(round)];
	struct outcomes *outcomes = &race->outcomes[mode];
	bool asked, delivered;

	if (settles(round))
		spin(SETTLE_TURNS);
	gate_open(&race->gate, round, steer->head_start);
	asked = race_cancel(race, op, mode);
	delivered = await(&race->gate.s->ring, op) != -ECANCELED;
	if (!delivered && mode <= BY_IOCTL)
		CHECK(asked);
	outcomes->delivered += delivered;
	outcomes->cancelled += !delivered;
	outcomes->late += delivered && asked;
	if (mode != BY_BOTH_FIRST)
		steer_to(steer, delivered);
	gate_pass(&race->gate, round);
	return delivered;
}

static void race_check(struct race *race, long ops)
{
	struct outcomes sum = {0};

	for (unsigned int mode = 0; mode < NMODES; mode++) {
		sum.delivered += race->outcomes[mode].delivered;
		sum.cancelled += race->outcomes[mode].cancelled;
		sum.late += race->outcomes[mode].late;
	}
	note("%ld ops: %ld%% delivered (%ld after cancel), %ld%% cancelled; cancelled by io_cancel %ld, "
	     "ioctl %ld,"
	     " both %ld and %ld",
	     ops, sum.delivered * 100 / ops, sum.late, sum.cancelled * 100 / ops,
	     race->outcomes[BY_IO_CANCEL].cancelled, race->outcomes[BY_IOCTL].cancelled,
	     race->outcomes[BY_BOTH].cancelled, race->outcomes[BY_BOTH_FIRST].cancelled);
	CHECK_EQ(sum.delivered + sum.cancelled, ops);
	for (unsigned int mode = 0; mode < BY_BOTH_FIRST; mode++) {
		CHECK(race->outcomes[mode].delivered >= OUTCOMES_MIN);
		CHECK(race->outcomes[mode].cancelled >= OUTCOMES_MIN);
	}
}

/* The rounds of a case whose round costs @times as much; enough of them to see both outcomes in each mode. */
static long rounds_part(const struct scene *s, long times)
{
	long rounds = s->rounds / times, enough = s->rounds < 800 ? s->rounds : 800;

	return rounds < enough ? enough : rounds;
}

static void write_chunk(struct gate *gate, long round)
{
	size_t nbytes = 1 + random_below(CHUNK);
	char buf[CHUNK];

	pattern_fill(buf, nbytes, gate->nbytes, 1);
	peer_write(gate->s->links[0], buf, nbytes);
	gate->nbytes += nbytes;
}

/* What the round's operation has left in the file must be there, for the next operation or for read(2). */
static uint64_t rest_take(struct scene *s, struct link *link, uint64_t received, uint64_t sent)
{
	char buf[CHUNK];

	while (received < sent) {
		size_t want = sent - received;
		long n = (long)want;
		struct op op;

		CHECK(want <= CHUNK);
		if (random_below(2)) {
			fd_read(link->in, buf, want);
		} else {
			read_start(&s->ring, &op, link->afd_in, buf, want);
			n = await(&s->ring, &op);
			CHECK(n > 0 && n <= (long)want);
		}
		pattern_check(buf, (size_t)n, received, 1);
		received += (uint64_t)n;
	}
	return received;
}

TEST_CASE(cancel_raced_with_data, ON(STREAMS), AS(CASE_LONG))
{
	struct race race = {0};
	uint64_t received = 0;
	struct link *link = scene_open(s, 8);
	char buf[CHUNK];
	struct op op;

	race.proxy = link->afd_in;
	race_start(&race, s, s->rounds, write_chunk);
	for (long round = 1; round <= race.gate.rounds; round++) {
		read_start(&s->ring, &op, link->afd_in, buf, sizeof(buf));
		if (race_run(&race, round, &op)) {
			CHECK(op.res > 0);
			pattern_check(buf, (size_t)op.res, received, 1);
			received += (uint64_t)op.res;
		}
		CHECK(received <= race.gate.nbytes);
		received = rest_take(s, link, received, race.gate.nbytes);
	}
	gate_join(&race.gate);
	CHECK(!is_readable(link->in, 10));
	race_check(&race, race.gate.rounds);
}

/* A pipe of one page: full with a page's bytes, empty after a read of as many. */
#define PIPE_ROOM 4096

static void read_page(struct gate *gate, long round)
{
	char buf[PIPE_ROOM];

	peer_read(gate->s->links[0], buf, sizeof(buf));
	pattern_check(buf, sizeof(buf), gate->nbytes, 2);
	gate->nbytes += sizeof(buf);
}

/* Plain write(2) of the next bytes of the stream: there is room. */
static void page_fill(struct link *link, uint64_t *written, uint64_t upto)
{
	size_t nbytes = (size_t)(upto - *written);
	char buf[PIPE_ROOM];

	pattern_fill(buf, nbytes, *written, 2);
	CHECK_EQ(write(link->out, buf, nbytes), nbytes);
	*written = upto;
}

/* A write of up to a page waits for room, and is all or nothing (pipe(7), PIPE_BUF). */
TEST_CASE(cancel_raced_with_pipe_room, ON(PIPE), AS(CASE_LONG))
{
	struct race race = {0};
	uint64_t written = 0;
	char buf[PIPE_ROOM];
	struct link *link = scene_open(s, 8);
	struct op op;

	CHECK_EQ(fcntl(link->out, F_SETPIPE_SZ, PIPE_ROOM), PIPE_ROOM);
	race.proxy = link->afd_out;
	race_start(&race, s, s->rounds, read_page);
	for (long round = 1; round <= race.gate.rounds; round++) {
		size_t nbytes = 1 + random_below(sizeof(buf));

		page_fill(link, &written, (uint64_t)round * PIPE_ROOM);
		pattern_fill(buf, nbytes, written, 2);
		write_start(&s->ring, &op, link->afd_out, buf, nbytes);
		if (race_run(&race, round, &op)) {
			CHECK_EQ(op.res, nbytes);
			written += nbytes;
		}
	}
	gate_join(&race.gate);
	while (race.gate.nbytes < written) {
		size_t nbytes = (size_t)(written - race.gate.nbytes);

		CHECK(nbytes <= sizeof(buf));
		peer_read(link, buf, nbytes);
		pattern_check(buf, nbytes, race.gate.nbytes, 2);
		race.gate.nbytes += nbytes;
	}
	CHECK(!is_readable(link->peer_in, 10));
	race_check(&race, race.gate.rounds);
}

static void read_all_there_is(struct gate *gate, long round)
{
	static char buf[1 << 16];
	size_t n;

	while ((n = fd_read_some(gate->s->links[0]->peer_in, buf, sizeof(buf)))) {
		pattern_check(buf, n, gate->nbytes, 3);
		gate->nbytes += n;
	}
}

/* Until the socket takes no more; acknowledgements may make room later, which is a delivery like another. */
static uint64_t socket_fill(int fd, uint64_t written)
{
	char buf[8192];
	ssize_t n;

	for (;;) {
		pattern_fill(buf, sizeof(buf), written, 3);
		n = send(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return written;
		CHECK(n > 0 || errno == EINTR);
		written += n > 0 ? (uint64_t)n : 0;
	}
}

TEST_CASE(cancel_raced_with_tcp_room, ON(TCP), AS(CASE_LONG))
{
	struct race race = {0};
	uint64_t written = 0;
	struct link *link = scene_open(s, 8);
	char buf[4096], byte;
	struct op op;

	race.proxy = link->afd_out;
	race_start(&race, s, rounds_part(s, 20), read_all_there_is);
	for (long round = 1; round <= race.gate.rounds; round++) {
		written = socket_fill(link->out, written);
		pattern_fill(buf, sizeof(buf), written, 3);
		write_start(&s->ring, &op, link->afd_out, buf, sizeof(buf));
		if (race_run(&race, round, &op)) {
			CHECK(op.res > 0 && op.res <= (long)sizeof(buf));
			written += (uint64_t)op.res;
		}
	}
	gate_join(&race.gate);
	for (; race.gate.nbytes < written; race.gate.nbytes++) {
		peer_read(link, &byte, 1);
		pattern_check(&byte, 1, race.gate.nbytes, 3);
	}
	CHECK(!is_readable(link->peer_in, 50));
	race_check(&race, race.gate.rounds);
}

static void close_peer(struct gate *gate, long round)
{
	link_peer_close(gate->s->links[0]);
}

/* A new link a round: the end of the stream is reported or the cancel is. */
TEST_CASE(cancel_raced_with_peer_close, ON(PARKABLE), AS(CASE_LONG))
{
	struct race race = {0};
	struct link *link = scene_open(s, 8);
	struct op op;
	char byte;

	race.proxy = link->afd_in;
	race_start(&race, s, rounds_part(s, 20), close_peer);
	for (long round = 1; round <= race.gate.rounds; round++) {
		read_start(&s->ring, &op, link->afd_in, &byte, 1);
		if (race_run(&race, round, &op))
			CHECK_EQ(op.res, 0);
		link_renew(s, link);
		race.proxy = link->afd_in;
	}
	gate_join(&race.gate);
	race_check(&race, race.gate.rounds);
}
