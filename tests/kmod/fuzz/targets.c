/* SPDX-License-Identifier: MIT */
/*
 * The descriptors of a program, in two tables: files, and proxies of them. A place holds what was put there
 * last, which another thread may have closed meanwhile; so a descriptor may be stale, as in a program that is
 * wrong.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PLACES 24

/* 0 is an empty place: the descriptor is one less. */
static _Atomic int raws[PLACES], proxies[PLACES];

static void put(_Atomic int *places, struct rng *rng, int fd)
{
	int old;

	if (fd < 0)
		return;
	old = atomic_exchange(&places[rng_below(rng, PLACES)], fd + 1);
	if (old)
		close(old - 1);
}

void raw_put(struct rng *rng, int fd)
{
	put(raws, rng, fd);
}

void proxy_put(struct rng *rng, int fd)
{
	put(proxies, rng, fd);
}

/* A filled place, if there is one soon. */
static int pick(_Atomic int *places, struct rng *rng)
{
	static const int odd[] = {-1, AT_FDCWD, 9999, 0x7fffffff};
	unsigned int at = rng_below(rng, PLACES);

	if (rng_percent(rng, 2))
		return rng_pick(rng, odd);
	for (unsigned int i = 0; i < PLACES; i++) {
		int fd = atomic_load(&places[(at + i) % PLACES]) - 1;

		if (fd >= 0)
			return fd;
	}
	return -1;
}

int raw_pick(struct rng *rng)
{
	return pick(raws, rng);
}

int proxy_pick(struct rng *rng)
{
	return pick(proxies, rng);
}

int any_pick(struct rng *rng)
{
	return rng_percent(rng, 65) ? proxy_pick(rng) : raw_pick(rng);
}

int any_take(struct rng *rng)
{
	_Atomic int *places = rng_percent(rng, 50) ? proxies : raws;

	return atomic_exchange(&places[rng_below(rng, PLACES)], 0) - 1;
}

void targets_inherit(struct rng *rng)
{
	for (int fd = 3; fd < 128; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			put(rng_percent(rng, 50) ? proxies : raws, rng, fd);
}

/* --- kinds of file; each puts what it opens into two descriptors, of which one may stay -1 --- */

typedef void make_fn(struct rng *rng, int fds[2]);

struct address {
	struct sockaddr_storage storage;
	socklen_t len;
};

static int family_pick(struct rng *rng, struct address *address)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->storage;
	struct sockaddr_in *in = (struct sockaddr_in *)&address->storage;

	*address = (struct address){0};
	if (rng_percent(rng, 50)) {
		*in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
		address->len = sizeof(*in6);
		return AF_INET6;
	}
	*in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	address->len = sizeof(*in);
	return AF_INET;
}

/* A socket bound to a port of the loopback, whose address is left in @address. */
static int bound(int family, int type, struct address *address)
{
	int fd = socket(family, type, 0);

	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&address->storage, address->len) ||
	    getsockname(fd, (struct sockaddr *)&address->storage, &address->len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void make_tcp(struct rng *rng, int fds[2])
{
	static const int sizes[] = {2048, 8192, 65536};
	struct address address;
	int family = family_pick(rng, &address), listener = bound(family, SOCK_STREAM, &address);
	int size = rng_pick(rng, sizes);

	if (listener < 0)
		return;
	fds[0] = socket(family, SOCK_STREAM, 0);
	if (rng_percent(rng, 60)) {
		setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	if (!listen(listener, 1) && !connect(fds[0], (struct sockaddr *)&address.storage, address.len))
		fds[1] = accept(listener, NULL, NULL);
	close(listener);
}

static void make_listener(struct rng *rng, int fds[2])
{
	struct address address;
	int family = family_pick(rng, &address);

	fds[0] = bound(family, SOCK_STREAM, &address);
	listen(fds[0], 4);
}

static void make_idle_socket(struct rng *rng, int fds[2])
{
	struct address address;

	fds[0] = socket(family_pick(rng, &address), rng_percent(rng, 50) ? SOCK_STREAM : SOCK_DGRAM, 0);
}

static void make_udp(struct rng *rng, int fds[2])
{
	struct address address, other;
	int family = family_pick(rng, &address);

	other = address;
	fds[0] = bound(family, SOCK_DGRAM, &address);
	fds[1] = bound(family, SOCK_DGRAM, &other);
	connect(fds[1], (struct sockaddr *)&address.storage, address.len);
	if (rng_percent(rng, 80))
		connect(fds[0], (struct sockaddr *)&other.storage, other.len);
}

static void make_pipe(struct rng *rng, int fds[2])
{
	if (pipe2(fds, rng_percent(rng, 15) ? O_DIRECT : 0))
		return;
	if (rng_percent(rng, 60))
		fcntl(fds[1], F_SETPIPE_SZ, 4096);
}

static void make_fifo(struct rng *rng, int fds[2])
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/fuzz.%d.%u", (int)getpid(), rng_below(rng, 1u << 30));
	if (mkfifo(path, 0600))
		return;
	fds[0] = open(path, O_RDWR);
	fds[1] = open(path, (rng_percent(rng, 50) ? O_RDONLY : O_WRONLY) | O_NONBLOCK);
	unlink(path);
}

static void make_pty(struct rng *rng, int fds[2])
{
	struct termios raw;

	if (openpty(&fds[0], &fds[1], NULL, NULL, NULL)) {
		fds[0] = fds[1] = -1;
		return;
	}
	if (rng_percent(rng, 60) && !tcgetattr(fds[1], &raw)) {
		cfmakeraw(&raw);
		tcsetattr(fds[1], TCSANOW, &raw);
	}
}

/* Two open files of one: a second descriptor has a position and flags of its own. */
static void make_file_in(struct rng *rng, int fds[2], const char *directory)
{
	static const int flags[] = {O_RDWR,   O_RDWR,	O_RDWR | O_APPEND, O_RDWR | O_DIRECT,
				    O_RDONLY, O_WRONLY, O_RDWR | O_DSYNC,  O_RDONLY | O_DIRECT,
				    O_PATH};
	char path[300];

	snprintf(path, sizeof(path), "%s/fuzz.%d.%u", directory, (int)getpid(), rng_below(rng, 1u << 30));
	fds[0] = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (ftruncate(fds[0], rng_below(rng, 3) * 10000))
		fds[1] = -1;
	else
		fds[1] = open(path, rng_pick(rng, flags));
	unlink(path);
}

static void make_file_in_memory(struct rng *rng, int fds[2])
{
	make_file_in(rng, fds, "/tmp");
}

static void make_file_on_disk(struct rng *rng, int fds[2])
{
	const char *scratch = getenv("SCRATCH");

	make_file_in(rng, fds, scratch ? scratch : "/tmp");
}

static void make_block_device(struct rng *rng, int fds[2])
{
	static const int flags[] = {O_RDWR, O_RDWR | O_DIRECT, O_RDONLY};
	const char *device = getenv(rng_percent(rng, 85) ? "BLANK_DEVICE" : "SLOW_DEVICE");

	if (device)
		fds[0] = open(device, rng_pick(rng, flags));
}

static void make_unix(struct rng *rng, int fds[2])
{
	if (socketpair(AF_UNIX, rng_percent(rng, 50) ? SOCK_STREAM : SOCK_DGRAM, 0, fds))
		fds[0] = fds[1] = -1;
}

/* What must be refused, or goes through io_submit(2) as it is. */
static void make_other(struct rng *rng, int fds[2])
{
	sigset_t none;

	sigemptyset(&none);
	switch (rng_below(rng, 11)) {
	case 0:
		fds[0] = eventfd(rng_below(rng, 2), 0);
		break;
	case 1:
		fds[0] = epoll_create1(0);
		break;
	case 2:
		fds[0] = signalfd(-1, &none, 0);
		break;
	case 3:
		fds[0] = timerfd_create(CLOCK_MONOTONIC, 0);
		break;
	case 4:
		fds[0] = open(TAIO_DEVICE, O_RDWR);
		break;
	case 5:
		fds[0] = open("/dev/null", O_RDWR);
		break;
	case 6:
		fds[0] = open("/dev/zero", O_RDWR);
		break;
	case 7:
		fds[0] = open("/tmp", O_RDONLY | O_DIRECTORY);
		break;
	case 8:
		fds[0] = open("/proc/self/comm", O_RDWR);
		break;
	case 9:
		fds[0] = memfd_create("fuzz", 0);
		break;
	case 10:
		fds[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY);
		break;
	}
}

static const struct {
	make_fn *make;
	unsigned int weight;
} kinds[] = {
	{make_tcp, 20},		{make_listener, 2},	{make_idle_socket, 3}, {make_udp, 10},
	{make_pipe, 20},	{make_fifo, 6},		{make_pty, 8},	       {make_file_in_memory, 6},
	{make_file_on_disk, 8}, {make_block_device, 4}, {make_unix, 3},	       {make_other, 8},
};

void target_make(struct rng *rng)
{
	unsigned int sum = 0, at;
	int fds[2] = {-1, -1};

	for (unsigned int i = 0; i < ARRAY_LEN(kinds); i++)
		sum += kinds[i].weight;
	at = rng_below(rng, sum);
	for (unsigned int i = 0; i < ARRAY_LEN(kinds); at -= kinds[i++].weight)
		if (at < kinds[i].weight) {
			kinds[i].make(rng, fds);
			break;
		}
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0 && rng_percent(rng, 15))
			fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
		raw_put(rng, fds[i]);
	}
}

void targets_make(struct rng *rng, unsigned int n)
{
	while (n--)
		target_make(rng);
}
