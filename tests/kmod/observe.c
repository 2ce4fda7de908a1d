/* SPDX-License-Identifier: MIT */
/*
 * Reads of tracefs and other files that the kernel makes up: they have no size, and are read until they
 * end.
 */
#include "observe.h"

#include "kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRACEFS	 "/sys/kernel/tracing"
#define INSTANCE TRACEFS "/instances/taio_test"

char *file_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0, room = 4096;
	char *text = malloc(room);
	ssize_t n;

	if (fd < 0 || !text)
		fail_at(THERE(), "%s: %m", path);
	while ((n = read(fd, text + have, room - have - 1)) > 0 || (n < 0 && errno == EINTR)) {
		have += n > 0 ? (size_t)n : 0;
		if (room - have < 2048)
			text = realloc(text, room *= 2);
		CHECK(text);
	}
	if (n < 0)
		fail_at(THERE(), "%s: %m", path);
	close(fd);
	text[have] = '\0';
	return text;
}

bool file_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error;
	ssize_t n;

	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	error = errno;
	close(fd);
	errno = error;
	return n == (ssize_t)strlen(text);
}

static bool is_asleep(pid_t tid)
{
	char path[64], *text, *end;
	bool is;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	text = file_text(path);
	end = strrchr(text, ')');
	is = end && (end[2] == 'S' || end[2] == 'D');
	free(text);
	return is;
}

void until_asleep_(pid_t tid)
{
	int64_t until = now_ms() + 10000;

	while (!is_asleep(tid)) {
		if (now_ms() > until)
			fail_at(THERE(), "thread %d does not sleep", (int)tid);
		pause_ms(1);
	}
}

static void trace_put(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), INSTANCE "/%s", name);
	if (!file_put(path, text))
		fail_at(THERE(), "%s: %m", path);
}

void trace_start(const char *const *events)
{
	if (access(TRACEFS "/trace", F_OK) && mount("tracefs", TRACEFS, "tracefs", 0, NULL))
		fail_at(THERE(), TRACEFS ": %m");
	/*
	 * Task names cost a probe in the scheduler, which is patched in and out of running code; an emulated
	 * processor has been seen to trip over that (an int3 that is not there any more). An instance
	 * inherits the option.
	 */
	CHECK(file_put(TRACEFS "/trace_options", "norecord-cmd"));
	rmdir(INSTANCE); /* of a case that failed */
	SYS(mkdir(INSTANCE, 0700));
	trace_put("trace_clock", "counter"); /* clocks differ from processor to processor */
	for (; *events; events++)
		trace_put("set_event", *events);
	trace_put("tracing_on", "1");
}

char *trace_stop(void)
{
	char *text;

	trace_put("tracing_on", "0");
	trace_put("events/enable", "0");
	text = file_text(INSTANCE "/trace");
	SYS(rmdir(INSTANCE));
	CHECK(file_put(TRACEFS "/trace_options", "record-cmd"));
	return text;
}
