/* SPDX-License-Identifier: MIT */
/*
 * What an echoed message costs its server where nothing has to wait: by plain calls, by stock io_submit(2) on
 * the sockets themselves, and by io_submit(2) on proxies. The second is about the least that anything behind
 * io_submit(2) can cost. A batch is a message on each of LINKS connections; the peer's part is not timed.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#define NBYTES 64
#define LINKS  16
#define WARM   20 /* batches that are not counted */

static char buffers[LINKS][NBYTES];

/* As a good epoll server does: one wait a batch, and no second read. */
static void echo_by_calls(struct scene *s, int set)
{
	struct epoll_event events[LINKS];

	CHECK_EQ(epoll_wait(set, events, LINKS, 0), LINKS);
	for (unsigned int i = 0; i < LINKS; i++) {
		unsigned int n = events[i].data.u32;

		CHECK_EQ(read(s->links[n]->in, buffers[n], NBYTES), NBYTES);
		CHECK_EQ(write(s->links[n]->out, buffers[n], NBYTES), NBYTES);
	}
}

static void submit_and_reap(struct scene *s, struct iocb **iocbs)
{
	struct io_event events[LINKS];

	CHECK_EQ(io_submit(s->ring.ctx, LINKS, iocbs), LINKS);
	CHECK_EQ(io_getevents(s->ring.ctx, LINKS, LINKS, events, NULL), LINKS);
	for (unsigned int i = 0; i < LINKS; i++)
		CHECK_EQ(events[i].res, NBYTES);
}

static void echo_by_aio(struct scene *s, bool by_proxy)
{
	static struct op ops[LINKS];
	struct iocb *iocbs[LINKS];

	for (unsigned int i = 0; i < LINKS; i++) {
		op_read(&ops[i], by_proxy ? s->links[i]->afd_in : s->links[i]->in, buffers[i], NBYTES);
		iocbs[i] = &ops[i].iocb;
	}
	submit_and_reap(s, iocbs);
	for (unsigned int i = 0; i < LINKS; i++)
		op_write(&ops[i], by_proxy ? s->links[i]->afd_out : s->links[i]->out, buffers[i], NBYTES);
	submit_and_reap(s, iocbs);
}

enum way { BY_CALLS, BY_AIO, BY_PROXY, WAYS };

static const char *const way_names[WAYS] = {"calls", "aio", "proxy"};

static uint64_t batch_time(struct scene *s, int set, enum way way)
{
	char there[NBYTES] = {0}, back[NBYTES];
	uint64_t began, ended;

	for (unsigned int i = 0; i < LINKS; i++)
		peer_write(s->links[i], there, NBYTES);
	began = now_ns();
	if (way == BY_CALLS)
		echo_by_calls(s, set);
	else
		echo_by_aio(s, way == BY_PROXY);
	ended = now_ns();
	for (unsigned int i = 0; i < LINKS; i++)
		peer_read(s->links[i], back, NBYTES);
	return ended - began;
}

/* BATCHES: each way in turn. */
int cmd_floor(int argc, char **argv)
{
	struct scene s = {.policy = TAIO_POLICY_TASK, .flags = TAIO_ATTACH_INLINE, .kind = LINK_TCP};
	long batches = number_of(argv[1], "BATCHES");
	struct samples samples[WAYS] = {0};
	int set = SYS(epoll_create1(EPOLL_CLOEXEC));

	CHECK_EQ(argc, 2);
	scene_ring(&s, 2 * LINKS);
	for (unsigned int i = 0; i < LINKS; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = i};
		struct link *link = scene_link(&s);

		/* Not to wait, on every kernel: sockets know RWF_NOWAIT since Linux 6.5. */
		SYS(fcntl(link->in, F_SETFL, O_NONBLOCK));
		SYS(epoll_ctl(set, EPOLL_CTL_ADD, link->in, &event));
	}
	for (long i = -WARM; i < batches; i++)
		for (enum way way = 0; way < WAYS; way++) {
			uint64_t ns = batch_time(&s, set, way);

			if (i >= 0)
				samples_add(&samples[way], ns / LINKS);
		}
	for (enum way way = 0; way < WAYS; way++) {
		printf("%s\"%s\": {\"p50\": %ju, \"least\": %ju}", way ? ", " : "{", way_names[way],
		       (uintmax_t)samples_at(&samples[way], 0.5), (uintmax_t)samples_at(&samples[way], 0));
		samples_free(&samples[way]);
	}
	printf("}\n");
	close(set);
	scene_finish(&s);
	return 0;
}
