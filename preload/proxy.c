/* SPDX-License-Identifier: MIT */
/*
 * Owns the places, the device and what is put in a place without a proxy. All are close-on-exec, and beyond
 * the descriptors that the program is likely to get (select(2) wants them low).
 *
 * One lock, held with signals blocked, for all that changes: close(2) may be called by a signal handler. A
 * child of fork(2) has copies of everything. A child of vfork(2) changes the table of its parent, which
 * notices at its next submission.
 */
#include "proxy.h"

#include "next.h"
#include "table.h"

#include "kmod/uapi/taio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The least descriptor of ours, unless RLIMIT_NOFILE is low. */
#define FLOOR 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int device = -1; /* opened before the program can drop its privileges */
static _Atomic int vacant = -1; /* O_PATH: io_submit(2) says EBADF */
static dev_t device_number;
static unsigned int policy = TAIO_POLICY_PARK;

static const char *const policy_names[] = {TAIO_POLICY_NAMES};
_Static_assert(sizeof(policy_names) / sizeof(policy_names[0]) == TAIO_NPOLICIES, "a policy without a name");

static _Atomic uint64_t niocbs_sent, nattached, nrefused, nfull;

void proxy_count(long niocbs)
{
	atomic_fetch_add_explicit(&niocbs_sent, (uint64_t)niocbs, memory_order_relaxed);
}

static void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

struct locked {
	sigset_t mask;
	int err;
};

static void lock_take(struct locked *locked)
{
	sigset_t all;

	locked->err = errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &locked->mask);
	pthread_mutex_lock(&lock);
}

static void lock_drop(const struct locked *locked)
{
	pthread_mutex_unlock(&lock);
	pthread_sigmask(SIG_SETMASK, &locked->mask, NULL);
	errno = locked->err;
}

/* --- descriptors of ours --- */

/* @fd, which may be -1, at a number out of the program's way; closes @fd. -1 with errno. */
static int move_up(int fd)
{
	struct rlimit limit = {.rlim_cur = 2 * FLOOR};
	int at, moved, err;

	if (fd < 0)
		return -1;
	getrlimit(RLIMIT_NOFILE, &limit);
	at = limit.rlim_cur < 2 * FLOOR ? (int)(limit.rlim_cur / 2) : FLOOR;
	moved = (int)system_call(SYS_fcntl, (long)fd, (long)F_DUPFD_CLOEXEC, (long)at);
	err = errno;
	system_call(SYS_close, (long)fd);
	errno = err;
	return moved;
}

static int open_up(const char *path, int flags)
{
	return move_up((int)system_call(SYS_openat, (long)AT_FDCWD, path, (long)(flags | O_CLOEXEC)));
}

static bool is_vacant(int fd)
{
	long flags = system_call(SYS_fcntl, (long)fd, (long)F_GETFL);

	return flags >= 0 && flags & O_PATH;
}

static bool is_proxy(int fd)
{
	struct taio_ioc_info info;

	return system_call(SYS_ioctl, (long)fd, (long)TAIO_IOC_INFO, &info) == 0;
}

static bool is_device(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == device_number;
}

static bool is_noted(int fd)
{
	const struct entry *entry = table_find(fd);

	return entry && entry->stands_for;
}

/* What is noted may have been closed behind our back, and be a file of the program's by now. */
bool proxy_is_ours(int fd)
{
	int err = errno;
	bool ours = is_noted(fd) && (is_vacant(fd) || is_proxy(fd) || is_device(fd));

	errno = err;
	return ours;
}

int proxy_target(int fd)
{
	const struct entry *entry = table_find(fd);
	int stands_for = entry ? entry->stands_for : 0;

	return stands_for > 0 ? stands_for - 1 : fd;
}

int proxy_meant(int fd)
{
	int target = proxy_target(fd);

	return target == fd || !proxy_is_ours(fd) ? fd : target;
}

/* Opens one that is none's place. */
static int open_noted(const char *path, int flags)
{
	int fd = open_up(path, flags);
	struct entry *entry = table_make(fd);

	if (entry)
		entry->stands_for = FOR_US;
	return fd;
}

static void forget_noted(int fd)
{
	struct entry *entry = table_find(fd);

	if (entry && entry->stands_for == FOR_US)
		entry->stands_for = 0;
}

static void device_open(void)
{
	struct stat st;

	forget_noted(device);
	device = open_noted(TAIO_DEVICE, O_RDWR);
	if (device >= 0 && fstat(device, &st) == 0)
		device_number = st.st_rdev;
}

static void vacant_open(void)
{
	forget_noted(vacant);
	vacant = open_noted("/", O_PATH);
}

/* Forgets the place of @entry, whatever file is there. */
static void place_forget(struct entry *entry)
{
	struct entry *place = table_find(entry->place - 1);

	if (place)
		place->stands_for = 0;
	entry->place = 0;
	entry->known = FD_UNKNOWN;
}

/* Puts @file into the place of @entry, which gets one if it has none. Closes @file. -1 with errno. */
static int place_fill(struct entry *entry, int fd, int file)
{
	int number = entry->place - 1;
	struct entry *place;

	if (number >= 0 && (is_vacant(number) || is_proxy(number))) {
		system_call(SYS_dup3, (long)file, (long)number, (long)O_CLOEXEC);
		system_call(SYS_close, (long)file);
		return number;
	}
	/* Closed behind our back, and perhaps the program's by now. */
	place_forget(entry);
	number = move_up(file);
	if (number < 0)
		return -1;
	place = table_make(number);
	if (!place) {
		system_call(SYS_close, (long)number);
		errno = EMFILE;
		return -1;
	}
	entry->place = number + 1;
	place->stands_for = fd + 1;
	return number;
}

/* --- proxies --- */

static int attach_once(int fd)
{
	struct taio_ioc_attach request = {
		.fd = fd, .policy = policy, .flags = TAIO_ATTACH_INLINE | TAIO_ATTACH_CLOEXEC};

	return (int)system_call(SYS_ioctl, (long)device, (long)TAIO_IOC_ATTACH, &request);
}

/* A device that something has closed, and what is there now, answers with one of these. */
static int attach(int fd)
{
	int proxy = device < 0 ? -1 : attach_once(fd);

	if (proxy >= 0 || (device >= 0 && errno != EBADF && errno != ENOTTY) ||
	    system_call(SYS_fcntl, (long)fd, (long)F_GETFD) < 0)
		return proxy;
	device_open();
	return device < 0 ? -1 : attach_once(fd);
}

/*
 * Terminals and anonymous files (eventfd, ...) go without, as in engine kmod: a helper is not what a
 * terminal's job control expects.
 */
static bool wants_proxy(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	return S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
}

/* What keeps a descriptor without a proxy for good, and what may be otherwise the next time. */
static void note_refusal(struct entry *entry, int err)
{
	if (err == EBADF)
		return;
	if (err == EMFILE || err == ENFILE || err == ENOMEM) {
		count(&nfull);
		return;
	}
	count(&nrefused);
	entry->known = FD_REFUSED;
}

static int proxy_make(struct entry *entry, int fd)
{
	int proxy = wants_proxy(fd) ? attach(fd) : (errno = EOPNOTSUPP, -1);
	int number = proxy < 0 ? -1 : place_fill(entry, fd, proxy);

	if (number < 0) {
		note_refusal(entry, errno);
		return -1;
	}
	count(&nattached);
	entry->known = FD_PROXIED;
	return number;
}

static bool is_same(int number, int fd)
{
	return system_call(SYS_ioctl, (long)number, (long)TAIO_IOC_SAME, (long)fd) == 1;
}

/* -2: not known without the lock. */
static int proxy_look(const struct entry *entry, int fd)
{
	int number;

	if (!entry || entry->known == FD_UNKNOWN)
		return -2;
	if (entry->known == FD_REFUSED)
		return -1;
	number = entry->place - 1;
	return number >= 0 && is_same(number, fd) ? number : -2;
}

int proxy_of(int fd)
{
	int err = errno, number = proxy_look(table_find(fd), fd);
	struct locked locked;
	struct entry *entry;

	errno = err;
	if (number != -2)
		return number;
	lock_take(&locked);
	entry = table_make(fd);
	number = proxy_look(entry, fd);
	if (number == -2)
		number = entry ? proxy_make(entry, fd) : -1;
	lock_drop(&locked);
	return number;
}

/* A place that has neither a proxy nor what is put there instead is ours no more. */
static void place_vacate(struct entry *entry)
{
	int number = entry->place - 1;

	entry->known = FD_UNKNOWN;
	if (number < 0 || is_vacant(number))
		return;
	if (!is_proxy(number)) {
		place_forget(entry);
		return;
	}
	if (vacant < 0 || !is_vacant(vacant))
		vacant_open();
	if (vacant >= 0) {
		system_call(SYS_dup3, (long)vacant, (long)number, (long)O_CLOEXEC);
		return;
	}
	system_call(SYS_close, (long)number);
	place_forget(entry);
}

void proxy_release(int fd)
{
	struct entry *entry = table_find(fd);
	struct locked locked;

	if (!entry || (!entry->place && entry->known == FD_UNKNOWN))
		return;
	lock_take(&locked);
	place_vacate(entry);
	lock_drop(&locked);
}

void proxy_prune(int fd)
{
	struct entry *entry = table_find(fd);
	struct locked locked;

	if (!entry || entry->known != FD_PROXIED)
		return;
	lock_take(&locked);
	if (entry->known == FD_PROXIED && !is_same(entry->place - 1, fd))
		place_vacate(entry);
	lock_drop(&locked);
}

void proxy_vacate(int fd)
{
	struct locked locked;

	if (!is_noted(fd))
		return;
	lock_take(&locked);
	if (fd == device)
		device = -1;
	else if (fd == vacant)
		vacant = -1;
	else if (proxy_target(fd) != fd)
		place_forget(table_find(proxy_target(fd)));
	forget_noted(fd);
	lock_drop(&locked);
}

/* --- the process --- */

static struct locked forking;

static void fork_prepare(void)
{
	struct locked locked;

	lock_take(&locked);
	forking = locked;
}

static void fork_done(void)
{
	struct locked locked = forking;

	lock_drop(&locked);
}

static void read_policy(void)
{
	const char *name = getenv("TAIO_POLICY");

	for (unsigned int i = 0; name && i < TAIO_NPOLICIES; i++)
		if (!strcmp(name, policy_names[i]))
			policy = i;
}

__attribute__((constructor)) static void proxies_init(void)
{
	int err = errno;

	read_policy();
	device_open();
	if (device >= 0)
		vacant_open();
	pthread_atfork(fork_prepare, fork_done, fork_done);
	errno = err;
}

/* For whoever wants to know whether a program's operations went through the module at all. */
__attribute__((destructor)) static void proxies_tell(void)
{
	const char *verbose = getenv("TAIO_VERBOSE");

	if (!verbose || !*verbose || !strcmp(verbose, "0") || !(niocbs_sent | nattached | nrefused | nfull))
		return;
	dprintf(STDERR_FILENO,
		"taio-preload: pid %ld: %lu iocbs to proxies; %lu proxies made, %lu files refused, %lu times "
		"no "
		"descriptor left\n",
		(long)getpid(), (unsigned long)niocbs_sent, (unsigned long)nattached, (unsigned long)nrefused,
		(unsigned long)nfull);
}
