/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EVENT_LIMIT_S  20
#define CHILD_LIMIT_MS 100000

submit_fn *const submits[2] = {io_submit, submit_by_number};

bool is_preloaded(void)
{
	return getenv("TAIO_POLICY") != NULL;
}

void program_run(void (*run)(void *arg))
{
	CHECK_EQ(child_reap(child_start(run, NULL), CHILD_LIMIT_MS), 0);
}

int submit_by_number(io_context_t ctx, long niocbs, struct iocb **iocbs)
{
	long ret = syscall(SYS_io_submit, ctx, niocbs, iocbs);

	return ret < 0 ? -errno : (int)ret;
}

io_context_t ring_make(int nevents)
{
	io_context_t ctx = NULL;

	CHECK_EQ(io_setup(nevents, &ctx), 0);
	return ctx;
}

void submit_one(io_context_t ctx, struct iocb *iocb)
{
	CHECK_EQ(io_submit(ctx, 1, &iocb), 1);
}

/* Policy TASK interrupts the wait for an event. */
static int getevents(io_context_t ctx, long min, struct io_event *event, struct timespec *limit)
{
	int n;

	do
		n = io_getevents(ctx, min, 1, event, limit);
	while (n == -EINTR);
	return n;
}

long event_of(io_context_t ctx, const struct iocb *iocb)
{
	struct timespec limit = {.tv_sec = EVENT_LIMIT_S};
	struct io_event event;

	CHECK_EQ(getevents(ctx, 1, &event, &limit), 1);
	CHECK(event.obj == iocb);
	CHECK(event.data == iocb->data);
	return (long)event.res;
}

void no_event(io_context_t ctx)
{
	struct timespec none = {0};
	struct io_event event;

	CHECK_EQ(getevents(ctx, 0, &event, &none), 0);
}

void read_works(io_context_t ctx, int fd, int peer, const char *text)
{
	char got[32] = "";
	struct iocb iocb;

	if (!is_preloaded())
		CHECK_EQ(write(peer, text, strlen(text)), strlen(text));
	io_prep_pread(&iocb, fd, got, sizeof(got), 0);
	iocb.data = got;
	submit_one(ctx, &iocb);
	if (is_preloaded()) {
		no_event(ctx);
		CHECK_EQ(write(peer, text, strlen(text)), strlen(text));
	}
	CHECK_EQ(event_of(ctx, &iocb), strlen(text));
	CHECK(!strcmp(got, text));
}

void peer_sees_end(int peer)
{
	char byte;

	CHECK(is_readable(peer, 10000));
	CHECK_EQ(read(peer, &byte, 1), 0);
}

void close_unseen(int fd)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	int (*original)(int) = libc ? (int (*)(int))dlsym(libc, "close") : NULL;

	CHECK(original);
	CHECK_EQ(original(fd), 0);
}
