/* SPDX-License-Identifier: MIT */
/*
 * Every kind of descriptor with every operation: what read(2), write(2) or poll(2) answers at once on one is
 * the event on another of the same kind; where it would have to wait the operation waits, and can be
 * cancelled, or ends as the call does when what it waits for has come.
 */
#include "kinds.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENT_MS  8000
#define SETTLE_MS 100

static const struct action {
	const char *name;
	int opcode;
	size_t nbytes; /* or the events */
} actions[] = {
	{"read 0", IO_CMD_PREAD, 0},   {"read 1", IO_CMD_PREAD, 1},	 {"read 4", IO_CMD_PREAD, 4},
	{"read 64", IO_CMD_PREAD, 64}, {"write 0", IO_CMD_PWRITE, 0},	 {"write 1", IO_CMD_PWRITE, 1},
	{"write 8", IO_CMD_PWRITE, 8}, {"poll in", IO_CMD_POLL, POLLIN}, {"poll out", IO_CMD_POLL, POLLOUT},
};

/* What the call answers on @fd, which does not block. -EAGAIN: it would wait. */
static long answer_of(const struct action *action, int fd)
{
	struct pollfd pfd = {.fd = fd, .events = (short)action->nbytes};
	char buf[64] = {1};
	long res;

	CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
	switch (action->opcode) {
	case IO_CMD_PREAD:
		res = read(fd, buf, action->nbytes);
		break;
	case IO_CMD_PWRITE:
		res = write(fd, buf, action->nbytes);
		break;
	default:
		return poll(&pfd, 1, 0) == 1 ? pfd.revents : -EAGAIN;
	}
	return res < 0 ? -errno : res;
}

/* The same after something has come, which may take a moment. */
static long answer_soon(const struct action *action, int fd)
{
	int64_t until = now_ms() + SETTLE_MS;
	long answer;

	do
		answer = answer_of(action, fd);
	while (answer == -EAGAIN && now_ms() < until);
	return answer;
}

static void prepare(const struct action *action, struct op *op, int fd, char *buf)
{
	switch (action->opcode) {
	case IO_CMD_PREAD:
		op_read(op, fd, buf, action->nbytes);
		break;
	case IO_CMD_PWRITE:
		op_write(op, fd, buf, action->nbytes);
		break;
	default:
		op_poll(op, fd, (int)action->nbytes);
	}
}

/* "poll kmod" names kmod:task, too. */
static bool is_engine_in(const char *engine, const char *names)
{
	size_t len = strcspn(engine, ":");
	const char *at;
	char name[16] = "";

	memcpy(name, engine, len < sizeof(name) ? len : sizeof(name) - 1);
	at = strstr(names, name);
	return at && (at[len] == ' ' || !at[len]);
}

static bool is_refused_by(const struct kind *kind, const char *engine)
{
	return kind->refused && (!kind->only || is_engine_in(engine, kind->only));
}

static bool is_stream(int fd)
{
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	return !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
}

/* Files are not polled. */
static bool applies(const struct action *action, const struct pair *pair)
{
	return action->opcode != IO_CMD_POLL || is_stream(pair->fd);
}

/* @when: "", or " that waited". As await(), but a failure tells the kind and the action. */
static void check_event(struct scene *s, const struct kind *kind, const struct action *action, struct op *op,
			const char *when, long want)
{
	int64_t until = now_ms() + EVENT_MS;

	while (!op->events && now_ms() < until)
		collect(s, EVENT_MS);
	if (!op->events)
		fail_at(HERE(), "%s of %s%s: no event, and not %ld", action->name, kind->name, when, want);
	if (op->res != want)
		fail_at(HERE(), "%s of %s%s: %ld, and not %ld", action->name, kind->name, when, op->res,
			want);
}

typedef void check_fn(struct scene *s, const struct kind *kind, const struct action *action,
		      struct pair pairs[2], int afd);

/* It is an event at once, or the operation waits. */
static void check_answer(struct scene *s, const struct kind *kind, const struct action *action,
			 struct pair pairs[2], int afd)
{
	long want = answer_of(action, pairs[0].fd);
	char buf[64] = {1};
	struct op op;

	prepare(action, &op, afd, buf);
	op_start(s, &op);
	if (want == -EAGAIN) {
		op_cancel(s, &op);
		want = -ECANCELED;
	}
	check_event(s, kind, action, &op, "", want);
}

/* What ends the wait of a call ends that of an operation, with the same result. */
static void check_wait(struct scene *s, const struct kind *kind, const struct action *action,
		       struct pair pairs[2], int afd)
{
	char buf[64] = {1};
	struct op op;
	long want;

	if (!kind->bring || answer_of(action, pairs[0].fd) != -EAGAIN)
		return;
	prepare(action, &op, afd, buf);
	op_start(s, &op);
	stay_quiet(s);
	kind->bring(&pairs[1]);
	kind->bring(&pairs[0]);
	want = answer_soon(action, pairs[0].fd);
	if (want == -EAGAIN) { /* that was for another operation */
		op_cancel(s, &op);
		want = -ECANCELED;
	}
	check_event(s, kind, action, &op, " that waited", want);
}

/* On two of a kind: one for the call, and one for the operation. */
static void check_attached(struct scene *s, const struct kind *kind, const struct action *action,
			   struct pair pairs[2], check_fn *check)
{
	int afd = taio_attach(s->ring, pairs[1].fd, TAIO_CLASS_ASK);

	if (is_refused_by(kind, s->engine)) {
		CHECK_EQ(afd, kind->refused);
		return;
	}
	if (afd < 0)
		fail_at(HERE(), "attach of %s: %s", kind->name, strerror(-afd));
	if (applies(action, &pairs[1]))
		check(s, kind, action, pairs, afd);
	taio_detach(s->ring, afd);
}

static void check_kind(struct scene *s, const struct kind *kind, const struct action *action, check_fn *check)
{
	struct pair pairs[] = {kind->make(), kind->make()};
	int flags = fcntl(pairs[1].fd, F_GETFL);

	check_attached(s, kind, action, pairs, check);
	if (fcntl(pairs[1].fd, F_GETFL) != flags)
		fail_at(HERE(), "%s: file status flags 0%o, were 0%o", kind->name,
			fcntl(pairs[1].fd, F_GETFL), flags);
	pair_close(pairs[0]);
	pair_close(pairs[1]);
}

/* A case of its own would be in the name of each; a failure tells its kind and action. */
static void check_kinds(struct scene *s, check_fn *check)
{
	for (unsigned int i = 0; i < nkinds; i++)
		for (unsigned int j = 0; j < ARRAY_LEN(actions); j++)
			check_kind(s, &kinds[i], &actions[j], check);
}

TEST_CASE(what_a_call_answers_at_once_is_an_event_at_once, ON(NONE))
{
	scene_ring(s, 8, 0);
	check_kinds(s, check_answer);
}

/* As few as there can be, and none of them free. */
TEST_CASE(what_a_call_answers_at_once_needs_no_helper, ON(NONE))
{
	struct pair empty[] = {event_empty(), event_empty(), event_empty()};
	uint64_t counts[ARRAY_LEN(empty)];
	struct op ops[ARRAY_LEN(empty)];

	scene_ring(s, 8, 2);
	for (unsigned int i = 0; i < ARRAY_LEN(empty); i++)
		read_start(s, &ops[i], taio_attach(s->ring, empty[i].fd, TAIO_CLASS_ASK), &counts[i],
			   sizeof(counts[i]));
	check_kinds(s, check_answer);
	for (unsigned int i = 0; i < ARRAY_LEN(empty); i++) {
		op_cancel(s, &ops[i]);
		CHECK_EQ(await(s, &ops[i]), -ECANCELED);
		taio_detach(s->ring, empty[i].fd);
		pair_close(empty[i]);
	}
}

TEST_CASE(descriptors_of_every_kind_wait_for_what_comes, ON(NONE))
{
	scene_ring(s, 8, 0);
	check_kinds(s, check_wait);
}

/* Where nothing is submitted or cancelled at that moment; otherwise engines poll and kmod may miss it
 * (aio/taio.h). */
TEST_CASE(a_signal_is_seen_through_an_epoll_set, ON(NONE))
{
	struct pair set = epoll_of_signals();
	struct op op;

	scene_ring(s, 8, 0);
	op_poll(&op, taio_attach(s->ring, set.fd, TAIO_CLASS_ASK), POLLIN);
	op_start(s, &op);
	stay_quiet(s);
	signal_comes(&set);
	CHECK_EQ(await(s, &op), POLLIN);
	scene_close_ring(s);
	pair_close(set);
}
