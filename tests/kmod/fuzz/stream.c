/* SPDX-License-Identifier: MIT */
/*
 * While the others make noise: two threads, one pipe or TCP connection, a proxy of each end. One writes a
 * pattern, the other keeps several reads in flight; both cancel at random. What is read must be what was
 * written, every byte in its order, and whatever was not asked to end must come: a wake-up that is lost stops
 * it for good.
 *
 * The descriptors are in no table, so nobody else touches them; forked children inherit them and leave them
 * alone.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPINS_MAX  3000
#define READS	   6
#define BYTES	   4096
#define WRITES_MAX 1500
#define STALL_MS   20000

struct piece {
	struct iocb iocb;
	bool in_flight, asked_to_end;
	uint64_t seq;
	char bytes[BYTES];
};

struct side {
	struct rng rng;
	io_context_t ctx;
	int proxy;
	uint64_t offset; /* bytes that have come through */
	int64_t came_ms; /* the last event */
	bool is_calm;	 /* has waited in vain: cancels nothing */
	pthread_t thread;
};

static struct {
	struct side in, out;
	uint64_t total, pattern;
	_Atomic uint64_t arrived; /* bytes that the reader has seen */
	unsigned int cancel_percent, size_max;
	bool is_lockstep; /* each write meets an empty stream */
	bool is_on;
} stream;

static size_t size_pick(struct rng *rng)
{
	return 1 + rng_below(rng, stream.size_max);
}

static void submit(struct side *side, struct piece *piece)
{
	struct iocb *iocb = &piece->iocb;

	piece->in_flight = true;
	piece->asked_to_end = false;
	CHECK_EQ(io_submit(side->ctx, 1, &iocb), 1);
}

static void cancel_all(struct side *side, struct piece *pieces, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		pieces[i].asked_to_end = true;
	SYS(ioctl(side->proxy, TAIO_IOC_CANCEL));
}

static void cancel_one(struct side *side, struct piece *piece)
{
	struct io_event unused;
	int ret;

	piece->asked_to_end = true;
	ret = io_cancel(side->ctx, &piece->iocb, &unused);
	if (ret != -EINPROGRESS && ret != -EINVAL)
		fail_at(HERE(), "io_cancel: %d", ret);
}

static void cancel_some(struct side *side, struct piece *pieces, unsigned int n)
{
	struct piece *piece = &pieces[rng_below(&side->rng, n)];

	if (side->is_calm || !rng_percent(&side->rng, stream.cancel_percent))
		return;
	if (rng_percent(&side->rng, 20))
		cancel_all(side, pieces, n);
	else if (piece->in_flight)
		cancel_one(side, piece);
}

/*
 * Takes events, and waits a while for the first: not at all before a cancel, which would hide that a wake-up
 * was lost. Once something was waited for in vain nothing is cancelled until it comes.
 */
static int await_some(struct side *side, struct io_event *events, unsigned int max)
{
	bool is_hasty = !side->is_calm && rng_percent(&side->rng, stream.cancel_percent);
	struct timespec ts = {.tv_nsec = is_hasty ? 0 : 300000000};
	int n = io_getevents(side->ctx, !is_hasty, max, events, &ts);

	if (n < 0 && n != -EINTR)
		fail_at(HERE(), "io_getevents of a stream: %d", n);
	if (n > 0 || !side->came_ms)
		side->came_ms = now_ms();
	side->is_calm = n <= 0 && (side->is_calm || now_ms() - side->came_ms > 200);
	if (now_ms() - side->came_ms > STALL_MS)
		fail_at(HERE(), "a stream's %s stands still at byte %ju of %ju",
			side == &stream.in ? "reader" : "writer", (uintmax_t)side->offset,
			(uintmax_t)stream.total);
	return n < 0 ? 0 : n;
}

/* The stream is empty, and its reader about to find that out: a wake-up may come too early to be seen. */
static void lockstep(struct side *side)
{
	while (atomic_load(&stream.arrived) < side->offset)
		sched_yield();
	for (unsigned int spins = rng_below(&side->rng, SPINS_MAX); spins; spins--)
		atomic_load(&stream.arrived);
}

static void *writer_main(void *unused)
{
	static struct piece piece;
	struct side *side = &stream.out;
	struct io_event event;
	long res;

	while (side->offset < stream.total) {
		size_t n = size_pick(&side->rng);

		if (n > stream.total - side->offset)
			n = stream.total - side->offset;
		if (stream.is_lockstep)
			lockstep(side);
		pattern_fill(piece.bytes, n, side->offset, stream.pattern);
		io_prep_pwrite(&piece.iocb, side->proxy, piece.bytes, n, 0);
		submit(side, &piece);
		while (!await_some(side, &event, 1))
			cancel_some(side, &piece, 1);
		piece.in_flight = false;
		res = (long)event.res;
		if (res == -ECANCELED && piece.asked_to_end)
			continue;
		if (res <= 0 || (size_t)res > n)
			fail_at(HERE(), "a write of %zu bytes to a stream gave %ld%s", n, res,
				piece.asked_to_end ? " after a cancel" : "");
		side->offset += (uint64_t)res;
	}
	return NULL;
}

/* Reads of one proxy transfer in their order, and so do their events come. */
static void reader_event(struct side *side, const struct io_event *event, uint64_t *last)
{
	struct piece *piece = (struct piece *)((char *)event->obj - offsetof(struct piece, iocb));
	long res = (long)event->res;

	if (!piece->in_flight)
		fail_at(HERE(), "two events of one read of a stream");
	piece->in_flight = false;
	if (res == -ECANCELED && piece->asked_to_end)
		return;
	if (res <= 0 || (size_t)res > piece->iocb.u.c.nbytes)
		fail_at(HERE(), "a read of %lu bytes of a stream gave %ld%s", piece->iocb.u.c.nbytes, res,
			piece->asked_to_end ? " after a cancel" : "");
	if (piece->seq < *last)
		fail_at(HERE(), "read %ju of a stream came before read %ju", (uintmax_t)*last,
			(uintmax_t)piece->seq);
	*last = piece->seq;
	pattern_check(piece->bytes, (size_t)res, side->offset, stream.pattern);
	side->offset += (uint64_t)res;
	atomic_store(&stream.arrived, side->offset);
	atomic_fetch_add(&shared->stream_bytes, (uint64_t)res);
}

static unsigned int in_flight(const struct piece *pieces)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < READS; i++)
		n += pieces[i].in_flight;
	return n;
}

static void *reader_main(void *unused)
{
	static struct piece pieces[READS];
	struct side *side = &stream.in;
	unsigned int depth = 1 + rng_below(&side->rng, READS);
	struct io_event events[READS];
	uint64_t seq = 0, last = 0;
	bool is_done;

	while (!(is_done = side->offset == stream.total) || in_flight(pieces)) {
		for (unsigned int i = 0; i < depth && !is_done; i++) {
			if (pieces[i].in_flight)
				continue;
			io_prep_pread(&pieces[i].iocb, side->proxy, pieces[i].bytes, size_pick(&side->rng),
				      0);
			pieces[i].seq = ++seq;
			submit(side, &pieces[i]);
		}
		if (is_done)
			cancel_all(side, pieces, depth);
		else
			cancel_some(side, pieces, depth);
		for (int i = 0, n = await_some(side, events, READS); i < n; i++)
			reader_event(side, &events[i], &last);
	}
	return NULL;
}

/* --- the beginning and the end --- */

static void pair_open(struct rng *rng, int fds[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener;

	if (rng_percent(rng, 60)) {
		SYS(pipe2(fds, O_CLOEXEC));
		if (rng_percent(rng, 80))
			SYS(fcntl(fds[1], F_SETPIPE_SZ, 4096));
		return;
	}
	listener = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(bind(listener, (struct sockaddr *)&address, len));
	SYS(listen(listener, 1));
	SYS(getsockname(listener, (struct sockaddr *)&address, &len));
	fds[1] = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(connect(fds[1], (struct sockaddr *)&address, len));
	fds[0] = SYS(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	close(listener);
}

static int stream_proxy(struct rng *rng, int fd)
{
	uint32_t flags = TAIO_ATTACH_CLOEXEC;
	int proxy;

	if (rng_percent(rng, 50))
		flags |= TAIO_ATTACH_INLINE;
	if (rng_percent(rng, 20))
		flags |= TAIO_ATTACH_COOP;
	proxy = taio_attach(fd, rng_below(rng, TAIO_NPOLICIES), flags);
	if (proxy < 0)
		fail_at(HERE(), "TAIO_IOC_ATTACH of a stream: %d", proxy);
	close(fd);
	return proxy;
}

void stream_start(uint64_t seed)
{
	static const unsigned int percents[] = {0, 5, 25}, sizes[] = {4, 64, 64, BYTES};
	struct rng rng = {seed};
	int fds[2];

	pair_open(&rng, fds);
	stream.in.proxy = stream_proxy(&rng, fds[0]);
	stream.out.proxy = stream_proxy(&rng, fds[1]);
	stream.in.rng.state = rng_next(&rng);
	stream.out.rng.state = rng_next(&rng);
	stream.pattern = rng_next(&rng);
	stream.is_lockstep = rng_percent(&rng, 60);
	stream.size_max = rng_pick(&rng, sizes);
	stream.total = 1 + (uint64_t)rng_below(&rng, WRITES_MAX) * stream.size_max / 2;
	stream.cancel_percent = rng_pick(&rng, percents);
	CHECK_EQ(io_setup(READS, &stream.in.ctx), 0);
	CHECK_EQ(io_setup(1, &stream.out.ctx), 0);
	CHECK_EQ(pthread_create(&stream.in.thread, NULL, reader_main, NULL), 0);
	CHECK_EQ(pthread_create(&stream.out.thread, NULL, writer_main, NULL), 0);
	stream.is_on = true;
}

void stream_join(void)
{
	if (!stream.is_on)
		return;
	pthread_join(stream.out.thread, NULL);
	pthread_join(stream.in.thread, NULL);
}
