/* SPDX-License-Identifier: MIT */
/*
 * Engine kmod: a ring of engine poll with proxies of /dev/taio in the place of descriptors, so that an
 * operation which has to wait does so in the kernel: its policy decides who transfers then. This file owns
 * the device and the proxies. Ring's thread only. Invariant: a proxy is open from attach to detach, or until
 * nothing is in flight any more and the ring is closed.
 *
 * Trying first what need not wait (INLINE) is engine poll's habit anyway, with a wake-up for nothing that
 * completes so; the module's own first try comes on top where the operation is not expected to succeed.
 * Without INLINE neither is made.
 *
 * Policy task runs in the thread that submits, the next time that this enters the kernel (TAIO_ATTACH_COOP):
 * it is not interrupted for that, since a caller that has reaped everything sleeps on taio_fd(), and the
 * sleep begins with it. poll(2), ppoll(2) and select(2) are begun again by the kernel then, and find the
 * eventfd written; epoll_wait(2) returns -1 with EINTR though no handler has run. Both lead to a reap.
 */
#include "engine_kmod.h"

#include "engine_poll.h"
#include "engine_poll_files.h"
#include "fd_table.h"

#include "kmod/uapi/taio.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* One of this many reaps that find nothing enters the kernel. */
#define SPINS 64

/* By descriptor; links are descriptor + 1, 0 is none. */
struct file {
	int target;    /* of a proxy: what it stands for */
	int proxy;     /* of what is attached: its proxy */
	bool unblocks; /* of a proxy: its target had O_NONBLOCK */
};

struct kmod_ring {
	struct poll_ring poll;
	int device;
	unsigned int policy, flags; /* of struct taio_ioc_attach */
	struct file *files;
	unsigned int nfiles;
	unsigned int spins;
};

static struct kmod_ring *to_kmod(struct taio *ring)
{
	return (struct kmod_ring *)ring;
}

/* --- descriptors --- */

static int files_reserve(struct kmod_ring *k, int fd)
{
	struct file *files = fd_table_grow(k->files, &k->nfiles, sizeof(*files), fd);

	if (!files)
		return -ENOMEM;
	k->files = files;
	return 0;
}

static int proxy_open(struct kmod_ring *k, int fd)
{
	struct taio_ioc_attach attach = {
		.fd = fd, .policy = k->policy, .flags = k->flags | TAIO_ATTACH_CLOEXEC};
	int afd = ioctl(k->device, TAIO_IOC_ATTACH, &attach);

	return afd < 0 ? -errno : afd;
}

/*
 * Character devices and anonymous files (eventfd, signalfd, ...) are left to engine poll: some must not be
 * read by a helper in the caller's place (a terminal's job control), others lack the functions that
 * io_submit(2) calls.
 */
static bool wants_proxy(mode_t mode)
{
	return S_ISSOCK(mode) || S_ISFIFO(mode) || S_ISREG(mode) || S_ISBLK(mode);
}

/*
 * Does a proxy support RWF_NOWAIT? That of a pipe does not before Linux 6.4, nor does that of a named FIFO: a
 * thread would block for each operation. The kernel checks the flag before it finds the address bad. If it
 * finds no room first (-EAGAIN), going without a proxy is as correct.
 */
static bool takes_nowait(const struct kmod_ring *k, int afd)
{
	struct iocb iocb, *iocbs[] = {&iocb};
	int ret;

	io_prep_preadv(&iocb, afd, (const struct iovec *)UINTPTR_MAX, 1, 0);
	iocb.aio_rw_flags = RWF_NOWAIT;
	ret = io_submit(k->poll.ctxs[0].id, 1, iocbs);
	return ret == -EFAULT || ret == -EBADF; /* -EBADF: not open for reading */
}

/* The proxy, or -errno; -EOPNOTSUPP: @fd goes without one. */
static int proxy_make(struct kmod_ring *k, int fd)
{
	struct stat st;
	int afd;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!wants_proxy(st.st_mode))
		return -EOPNOTSUPP;
	afd = proxy_open(k, fd);
	if (afd < 0 || !S_ISFIFO(st.st_mode) || takes_nowait(k, afd))
		return afd;
	close(afd);
	return -EOPNOTSUPP;
}

static int proxy_publish(struct kmod_ring *k, int fd, int afd, enum taio_class class)
{
	int ret = files_reserve(k, afd);

	if (!ret)
		ret = poll_attach_proxy(&k->poll, afd, fd, class, &k->files[afd].unblocks);
	if (ret)
		return ret;
	k->files[afd].target = fd + 1;
	k->files[fd].proxy = afd + 1;
	return 0;
}

static int kmod_attach(struct taio *ring, int fd, enum taio_class class)
{
	struct kmod_ring *k = to_kmod(ring);
	int afd, ret = files_reserve(k, fd);

	if (ret)
		return ret;
	if (k->files[fd].proxy)
		return -EEXIST;
	afd = proxy_make(k, fd);
	if (afd == -EOPNOTSUPP)
		return poll_attach(ring, fd, class);
	if (afd < 0)
		return afd;
	ret = proxy_publish(k, fd, afd, class);
	if (ret) {
		close(afd);
		return ret;
	}
	return afd;
}

static void kmod_detach(struct taio *ring, int afd)
{
	struct kmod_ring *k = to_kmod(ring);
	struct file *file = &k->files[afd];
	int flags;

	if (!file->target)
		return;
	if (file->unblocks && (flags = fcntl(file->target - 1, F_GETFL)) >= 0)
		fcntl(file->target - 1, F_SETFL, flags | O_NONBLOCK);
	k->files[file->target - 1].proxy = 0;
	file->target = 0;
	poll_detach_proxy(&k->poll, afd);
	close(afd);
}

/*
 * A caller that reaps in a loop instead of sleeping never enters the kernel, and operations of policy task
 * would not proceed until a timer interrupts it.
 */
static int kmod_reap(struct taio *ring, long nr, struct io_event *events)
{
	struct kmod_ring *k = to_kmod(ring);
	int n = poll_reap(ring, nr, events);

	if (n || ++k->spins % SPINS)
		return n;
	sched_yield();
	return poll_reap(ring, nr, events);
}

/* --- opening and closing --- */

static void explain_device(int err, char *why)
{
	if (err == ENOENT || err == ENXIO || err == ENODEV)
		snprintf(why, TAIO_WHY_LEN, "no " TAIO_DEVICE ": load the module (modprobe taio)");
	else if (err == EACCES)
		snprintf(why, TAIO_WHY_LEN,
			 "permission denied for " TAIO_DEVICE
			 ": join the group that owns it (ls -l " TAIO_DEVICE ")");
	else if (err == EPERM)
		snprintf(why, TAIO_WHY_LEN,
			 TAIO_DEVICE
			 " is hidden by a device policy: allow it (systemd: DeviceAllow=" TAIO_DEVICE " rw)");
	else
		snprintf(why, TAIO_WHY_LEN, TAIO_DEVICE ": %s", strerror(err));
}

/*
 * Attaches a descriptor that does not exist, to learn whether the module knows this policy and these flags.
 */
static int device_check(struct kmod_ring *k, char *why)
{
	int ret = proxy_open(k, -1);

	if (ret == -EBADF)
		return 0;
	if (ret == -EOPNOTSUPP) {
		snprintf(why, TAIO_WHY_LEN,
			 "this kernel lets no module add threads to a process: Linux 6.10 or later, with "
			 "CONFIG_VHOST_TASK");
		return ret;
	}
	snprintf(why, TAIO_WHY_LEN,
		 TAIO_DEVICE " does not support %s: the versions of module and library differ (modinfo taio)",
		 ret == -EINVAL ? "this policy or one of its flags" : "TAIO_IOC_ATTACH");
	return ret < 0 ? ret : -EPROTO;
}

static int device_open(struct kmod_ring *k, char *why)
{
	int ret;

	k->device = open(TAIO_DEVICE, O_RDWR | O_CLOEXEC);
	if (k->device < 0) {
		ret = -errno;
		explain_device(errno, why);
		return ret;
	}
	ret = device_check(k, why);
	if (ret)
		close(k->device);
	return ret;
}

/* Submits a read that has to wait, cancels it, and returns what io_cancel(2) gave; *nevents is how many
 * events came. */
static int cancel_one(struct kmod_ring *k, int afd, int *nevents)
{
	struct timespec patience = {.tv_sec = 10}, none = {0};
	struct iocb iocb, *iocbs = &iocb;
	struct io_event events[2];
	io_context_t ctx = k->poll.ctxs[0].id;
	char byte;
	int ret;

	io_prep_pread(&iocb, afd, &byte, 1, 0);
	ret = io_submit(ctx, 1, &iocbs);
	if (ret != 1)
		return ret < 0 ? ret : -EIO;
	ret = io_cancel(ctx, &iocb, events);
	*nevents = io_getevents(ctx, 1, 1, events, &patience);
	if (*nevents == 1)
		*nevents += io_getevents(ctx, 0, 1, events, &none);
	return ret;
}

/*
 * A few stable kernels of early 2024 complete what io_cancel(2) cancels themselves, and return 0 (commit
 * 54cbc058d86b, since reverted by 28468cbed92e); the module completes it as well. So the engine is not used
 * before one cancel has given -EINPROGRESS and one event.
 */
static int cancel_check(struct kmod_ring *k, char *why)
{
	int fds[2], afd, nevents = 0, ret;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		ret = -errno;
		snprintf(why, TAIO_WHY_LEN, "pipe: %s", strerror(-ret));
		return ret;
	}
	afd = proxy_open(k, fds[0]);
	ret = afd < 0 ? afd : cancel_one(k, afd, &nevents);
	if (afd >= 0)
		close(afd);
	close(fds[0]);
	close(fds[1]);
	if (ret == -EINPROGRESS && nevents == 1)
		return 0;
	if (ret < 0 && ret != -EINPROGRESS)
		snprintf(why, TAIO_WHY_LEN, "a read cannot be cancelled: %s", strerror(-ret));
	else
		snprintf(why, TAIO_WHY_LEN,
			 "io_cancel completes operations itself in this kernel (as a few of 2024 do): %d and "
			 "%d events",
			 ret, nevents);
	return ret < 0 && ret != -EINPROGRESS ? ret : -EOPNOTSUPP;
}

static int kmod_open(struct taio **ring, const struct taio_params *params, char *why,
		     enum taio_policy_id policy, unsigned int flags)
{
	struct kmod_ring *k = calloc(1, sizeof(*k));
	int ret = -ENOMEM;

	if (!k) {
		snprintf(why, TAIO_WHY_LEN, "out of memory for a ring");
		return ret;
	}
	k->policy = policy;
	k->flags = flags;
	ret = device_open(k, why);
	if (ret)
		goto free_ring;
	ret = poll_init(&k->poll, params, why);
	if (ret)
		goto close_device;
	ret = cancel_check(k, why);
	if (ret)
		goto fini_poll;
	k->poll.waits_only = !(flags & TAIO_ATTACH_INLINE);
	*ring = &k->poll.taio;
	return 0;
fini_poll:
	poll_fini(&k->poll);
close_device:
	close(k->device);
free_ring:
	free(k);
	return ret;
}

/* The proxies are closed once nothing is in flight on them. */
static void kmod_close(struct taio *ring)
{
	struct kmod_ring *k = to_kmod(ring);

	poll_fini(&k->poll);
	for (unsigned int afd = 0; afd < k->nfiles; afd++)
		if (k->files[afd].target)
			close((int)afd);
	close(k->device);
	free(k->files);
	free(k);
}

#define KMOD_ENGINE(id, policy_name, policy_id, attach_flags, how)                                           \
	static int open_##id(struct taio **ring, const struct taio_params *params, char *why)                \
	{                                                                                                    \
		return kmod_open(ring, params, why, policy_id, attach_flags);                                \
	}                                                                                                    \
	const struct engine engine_kmod_##id = {                                                             \
		.name = "kmod:" policy_name,                                                                 \
		.summary = how,                                                                              \
		.attach_fds = 1,                                                                             \
		.open = open_##id,                                                                           \
		.close = kmod_close,                                                                         \
		.grow = poll_grow,                                                                           \
		.attach = kmod_attach,                                                                       \
		.detach = kmod_detach,                                                                       \
		.submit = poll_submit,                                                                       \
		.cancel = poll_cancel,                                                                       \
		.reap = kmod_reap,                                                                           \
	}

#define TASK_FLAGS TAIO_ATTACH_COOP

KMOD_ENGINE(task, "task", TAIO_POLICY_TASK, TASK_FLAGS | TAIO_ATTACH_INLINE,
	    "in the kernel; when the file is ready, the thread that submitted it transfers");
KMOD_ENGINE(task_noinline, "task-noinline", TAIO_POLICY_TASK, TASK_FLAGS,
	    "like kmod:task, but never tried inside io_submit first");
KMOD_ENGINE(park, "park", TAIO_POLICY_PARK, TAIO_ATTACH_INLINE,
	    "in the kernel; when the file is ready, a kernel work item transfers");
KMOD_ENGINE(park_noinline, "park-noinline", TAIO_POLICY_PARK, 0,
	    "like kmod:park, but never tried inside io_submit first");
KMOD_ENGINE(worker, "worker", TAIO_POLICY_WORKER, TAIO_ATTACH_INLINE,
	    "a thread that the kernel adds to the process blocks for it; task work cancels");
KMOD_ENGINE(worker_noinline, "worker-noinline", TAIO_POLICY_WORKER, 0,
	    "like kmod:worker, but never tried inside io_submit first");
KMOD_ENGINE(block, "block", TAIO_POLICY_BLOCK, TAIO_ATTACH_INLINE,
	    "a kernel thread blocks for it; cancelled by a signal");
KMOD_ENGINE(block_noinline, "block-noinline", TAIO_POLICY_BLOCK, 0,
	    "like kmod:block, but never tried inside io_submit first");
