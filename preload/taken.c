/* SPDX-License-Identifier: MIT */
/*
 * The functions of libc and libaio that this library takes: what submits, and what ends descriptors. Each
 * does what the original does, and calls it. Not taken, for there is nothing to do: io_cancel(2),
 * io_destroy(2), io_getevents(2); exec, since all that is ours is close-on-exec.
 */
#include "next.h"
#include "proxy.h"
#include "submit.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TAKEN __attribute__((visibility("default")))

/* libaio's: -errno. */
int io_submit(aio_context_t ctx, long niocbs, struct iocb **iocbs);

TAKEN int io_submit(aio_context_t ctx, long niocbs, struct iocb **iocbs)
{
	int err = errno;
	long taken = submit(ctx, niocbs, iocbs);

	if (taken < 0)
		taken = -errno;
	errno = err;
	return (int)taken;
}

/* Programs close whatever they may have inherited, one by one: they do not have ours. */
TAKEN int close(int fd)
{
	int ret;

	if (proxy_is_ours(fd)) {
		errno = EBADF;
		return -1;
	}
	proxy_vacate(fd);
	proxy_release(fd);
	ret = next_close()(fd);
	proxy_prune(fd);
	return ret;
}

TAKEN int fclose(FILE *file)
{
	int fd = fileno(file), ret;

	proxy_release(fd);
	ret = next_fclose()(file);
	proxy_prune(fd);
	return ret;
}

/* Before @from becomes @to. */
static void before_dup(int from, int to)
{
	if (from == to || table_next(to, to) < 0 || fcntl(from, F_GETFD) < 0)
		return;
	proxy_vacate(to);
	proxy_release(to);
}

TAKEN int dup2(int from, int to)
{
	before_dup(from, to);
	return next_dup2()(from, to);
}

TAKEN int dup3(int from, int to, int flags)
{
	before_dup(from, to);
	return next_dup3()(from, to, flags);
}

/* All but ours: what lies between them is closed, a range after another. */
static int close_others(unsigned int first, unsigned int last, int flags)
{
	int to = last > INT_MAX ? INT_MAX : (int)last, ret = 0;
	unsigned int begin = first;

	for (int fd = (int)first; !ret && (fd = table_next(fd, to)) >= 0; fd++) {
		proxy_release(fd);
		if (!proxy_is_ours(fd))
			continue;
		if ((unsigned int)fd > begin)
			ret = next_close_range()(begin, (unsigned int)fd - 1, flags);
		begin = (unsigned int)fd + 1;
	}
	return !ret && begin <= last ? next_close_range()(begin, last, flags) : ret;
}

TAKEN int close_range(unsigned int first, unsigned int last, int flags)
{
	if (first > last || first > INT_MAX || flags & (int)CLOSE_RANGE_CLOEXEC)
		return next_close_range()(first, last, flags);
	return close_others(first, last, flags);
}

TAKEN void closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned int)first, UINT_MAX, 0);
}

/* The numbers of the functions above; the rest goes on with as many words as any call has. */
TAKEN long syscall(long number, ...)
{
	long words[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		words[i] = va_arg(list, long);
	va_end(list);
	switch (number) {
	case SYS_io_submit:
		return submit((aio_context_t)words[0], words[1], (struct iocb **)words[2]);
	case SYS_close:
		return close((int)words[0]);
#ifdef SYS_dup2
	case SYS_dup2:
		return dup2((int)words[0], (int)words[1]);
#endif
	case SYS_dup3:
		return dup3((int)words[0], (int)words[1], (int)words[2]);
	case SYS_close_range:
		return close_range((unsigned int)words[0], (unsigned int)words[1], (int)words[2]);
	}
	return system_call(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
