/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD library: puts every file that the program opens behind a proxy of /dev/taio, and sends its iocbs
 * there.
 *
 * The descriptor that the program gets is the file's own: mmap(2), ftruncate(2), fcntl(2) and plain reads go
 * past the proxy, as they would in a program that was written for it. io_submit(2) names the proxy instead,
 * for the time of the call; so a program whose threads share iocbs cannot be run with this.
 *
 * Two environment variables say how files are attached: TAIO_SHIM_POLICY=block|park|task and
 * TAIO_SHIM_INLINE=0|1. TAIO_SHIM_COUNT names a file of 8 bytes that counts the iocbs that were sent to
 * proxies, over all processes: who runs the program can so tell that there were any.
 */
#include "kmod/uapi/taio.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX	  4096
#define BATCH_MAX 4096

/* 0: no proxy; else its descriptor + 1. */
static _Atomic int proxies[FDS_MAX];
static int device = -1;
static struct taio_ioc_attach how;
static _Atomic uint64_t *redirected;

static _Noreturn void die(const char *what, int fd)
{
	fprintf(stderr, "shim: descriptor %d: %s: %s\n", fd, what, strerror(errno));
	_exit(99);
}

static void read_environment(void)
{
	static const char *const policies[] = {[TAIO_POLICY_BLOCK] = "block",
					       [TAIO_POLICY_PARK] = "park",
					       [TAIO_POLICY_TASK] = "task",
					       [TAIO_POLICY_WORKER] = "worker"};
	const char *policy = getenv("TAIO_SHIM_POLICY"), *is_inline = getenv("TAIO_SHIM_INLINE");

	how.policy = TAIO_NPOLICIES;
	for (unsigned int i = 0; i < TAIO_NPOLICIES; i++)
		if (policy && strcmp(policy, policies[i]) == 0)
			how.policy = i;
	if (how.policy == TAIO_NPOLICIES) {
		errno = EINVAL;
		die("TAIO_SHIM_POLICY", -1);
	}
	how.flags = is_inline && *is_inline == '1' ? TAIO_ATTACH_INLINE : 0;
}

static void map_count(void)
{
	const char *path = getenv("TAIO_SHIM_COUNT");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0 || ftruncate(fd, sizeof(*redirected)) != 0)
		die("TAIO_SHIM_COUNT", fd);
	redirected = mmap(NULL, sizeof(*redirected), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (redirected == MAP_FAILED)
		die("mmap", fd);
	syscall(SYS_close, fd);
}

__attribute__((constructor)) static void shim_init(void)
{
	read_environment();
	map_count();
	device = (int)syscall(SYS_openat, AT_FDCWD, TAIO_DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die(TAIO_DEVICE, device);
}

/* Files that cannot be behind a proxy stay as they are; the manual of TAIO_IOC_ATTACH names them. */
static int wrap(int fd)
{
	struct taio_ioc_attach attach = how;
	int saved = errno, proxy;

	if (fd < 0 || device < 0)
		return fd;
	attach.fd = fd;
	proxy = ioctl(device, TAIO_IOC_ATTACH, &attach);
	if (proxy < 0 && errno != EISDIR && errno != EINVAL && errno != EOPNOTSUPP)
		die("TAIO_IOC_ATTACH", fd);
	if (proxy >= 0 && fd >= FDS_MAX)
		die("too many descriptors", fd);
	if (proxy >= 0)
		atomic_store(&proxies[fd], proxy + 1);
	errno = saved;
	return fd;
}

static int proxy_of(uint32_t fd)
{
	return fd < FDS_MAX ? atomic_load(&proxies[fd]) - 1 : -1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static mode_t mode_of(int flags, va_list words)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(words, mode_t) : 0;
}

#define OPEN(name)                                                                                           \
	int name(const char *path, int flags, ...);                                                          \
	int name(const char *path, int flags, ...)                                                           \
	{                                                                                                    \
		va_list words;                                                                               \
		mode_t mode;                                                                                 \
                                                                                                             \
		va_start(words, flags);                                                                      \
		mode = mode_of(flags, words);                                                                \
		va_end(words);                                                                               \
		return wrap((int)syscall(SYS_openat, AT_FDCWD, path, flags, mode));                          \
	}

OPEN(open)
OPEN(open64)

int mkstemp(char *template)
{
	return wrap(REAL(mkstemp)(template));
}

int socket(int domain, int type, int protocol)
{
	return wrap((int)syscall(SYS_socket, domain, type, protocol));
}

int pipe2(int fds[2], int flags)
{
	if (syscall(SYS_pipe2, fds, flags) != 0)
		return -1;
	wrap(fds[0]);
	wrap(fds[1]);
	return 0;
}

int pipe(int fds[2])
{
	return pipe2(fds, 0);
}

int close(int fd)
{
	int proxy = fd >= 0 ? proxy_of((uint32_t)fd) : -1;

	if (proxy >= 0) {
		atomic_store(&proxies[fd], 0);
		syscall(SYS_close, proxy);
	}
	return (int)syscall(SYS_close, fd);
}

/* Reads the caller's memory, which need not be there. */
static bool peek(void *to, const void *from, size_t nbytes)
{
	struct iovec local = {to, nbytes}, remote = {(void *)from, nbytes};

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)nbytes;
}

struct swap {
	struct iocb *iocb;
	uint32_t fd;
};

/* Points the iocbs at the proxies; returns how many. Stops where io_submit(2) itself will. */
static long redirect(long niocbs, struct iocb **iocbs, struct swap *swaps)
{
	long nswaps = 0;

	for (long i = 0; i < niocbs && i < BATCH_MAX; i++) {
		struct iocb *iocb, copy;
		int proxy;

		if (!peek(&iocb, &iocbs[i], sizeof(iocb)) || !peek(&copy, iocb, sizeof(copy)))
			break;
		proxy = proxy_of(copy.aio_fildes);
		if (proxy < 0)
			continue;
		swaps[nswaps++] = (struct swap){iocb, copy.aio_fildes};
		iocb->aio_fildes = (uint32_t)proxy;
	}
	return nswaps;
}

int io_submit(aio_context_t ctx, long niocbs, struct iocb **iocbs);
int io_submit(aio_context_t ctx, long niocbs, struct iocb **iocbs)
{
	struct swap *swaps = calloc(BATCH_MAX, sizeof(*swaps));
	long nswaps, taken, saved;

	if (!swaps || niocbs > BATCH_MAX)
		die("io_submit", -1);
	nswaps = redirect(niocbs, iocbs, swaps);
	taken = syscall(SYS_io_submit, ctx, niocbs, iocbs);
	saved = errno;
	for (long i = 0; i < nswaps; i++)
		swaps[i].iocb->aio_fildes = swaps[i].fd;
	free(swaps);
	if (taken > 0)
		atomic_fetch_add(redirected, (uint64_t)(taken < nswaps ? taken : nswaps));
	return (int)(taken < 0 ? -saved : taken);
}
