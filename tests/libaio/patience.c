/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD library, and part of the shim: the harness asks for at least 0 events within 30 seconds and
 * means one: on the stock kernel a buffered operation is over when io_submit(2) returns. On a proxy it need
 * not be.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int io_getevents(aio_context_t ctx, long min, long max, struct io_event *events, struct timespec *timeout);
int io_getevents(aio_context_t ctx, long min, long max, struct io_event *events, struct timespec *timeout)
{
	bool waits = timeout && (timeout->tv_sec > 0 || timeout->tv_nsec > 0);
	long n = syscall(SYS_io_getevents, ctx, min == 0 && waits ? 1 : min, max, events, timeout);

	return (int)(n < 0 ? -errno : n);
}
