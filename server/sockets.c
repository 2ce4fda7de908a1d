/* SPDX-License-Identifier: MIT */
#include "sockets.h"

#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define FD_PREFIX   "fd:"
#define PATH_PREFIX "unix:"

/*
 * What was handed over and taken once stays open while the process lives. Closing would lose the number by
 * which it is known; and a duplicate that is closed stays in the epoll set of its worker's loop, under a
 * number that is soon another file's.
 */
static struct sockets *taken;

enum sockets_kind sockets_kind_of(const char *where)
{
	if (!strncmp(where, FD_PREFIX, strlen(FD_PREFIX)))
		return SOCKETS_HANDED_OVER;
	return strncmp(where, PATH_PREFIX, strlen(PATH_PREFIX)) ? SOCKETS_ADDRESS : SOCKETS_PATH;
}

static const char *path_of(const char *where)
{
	return where + strlen(PATH_PREFIX);
}

bool sockets_is_path(const char *where)
{
	return sockets_kind_of(where) == SOCKETS_PATH && *path_of(where) == '/' &&
	       strlen(path_of(where)) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

static int bind_one(const union addr *addr, unsigned int backlog)
{
	int one = 1, err, fd;

	fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (addr->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, &addr->sa, addr_len(addr)) < 0 || listen(fd, (int)backlog) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int bound_to(int fd, union addr *addr)
{
	socklen_t len = sizeof(*addr);

	return getsockname(fd, &addr->sa, &len) < 0 ? -errno : 0;
}

/* A socket that the process before has left where @s is to be; or -1. */
static int take_left(const struct sockets *s, unsigned int backlog)
{
	union addr addr;
	int fd;

	while ((fd = handover_take(s->where)) >= 0) {
		bool is_here =
			sd_is_socket(fd, s->addr.sa.sa_family, SOCK_STREAM, 1) > 0 && !bound_to(fd, &addr);

		/* A name may lead elsewhere by now. */
		if (is_here && s->kind == SOCKETS_ADDRESS)
			is_here = addr_port(&s->addr) ? addr_equal(&addr, &s->addr) : true;
		if (is_here && listen(fd, (int)backlog) == 0)
			return fd;
		close(fd);
	}
	return -1;
}

static int open_address(struct sockets *s, unsigned int n, unsigned int backlog, char *why)
{
	char reason[ADDR_WHY_LEN];
	int fd, ret = addr_resolve(s->where, true, &s->wanted, reason);

	if (ret) {
		snprintf(why, SOCKETS_WHY_LEN, "%s", reason);
		return ret;
	}
	s->addr = s->wanted;
	for (; s->n < n; s->n++) {
		fd = take_left(s, backlog);
		if (fd < 0)
			fd = bind_one(&s->addr, backlog);
		ret = fd < 0 ? fd : 0;
		if (!ret)
			s->fds[s->n] = fd;
		if (!ret && !s->n)
			ret = bound_to(fd, &s->addr);
		if (ret) {
			snprintf(why, SOCKETS_WHY_LEN, "cannot listen on %.255s: %s", s->where,
				 strerror(-ret));
			return ret;
		}
	}
	return 0;
}

static void path_addr(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", path);
}

/* 0: at @addr is a socket on which nobody listens any more. Or -errno: it is none, or somebody does. */
static int check_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, ret;

	if (lstat(addr->sun_path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN ? -EADDRINUSE
												: -errno;
	close(fd);
	return ret == -ECONNREFUSED ? 0 : ret;
}

static int bind_path(int fd, const struct sockaddr_un *addr)
{
	int ret;

	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	ret = check_stale(addr);
	if (!ret && unlink(addr->sun_path) < 0)
		ret = -errno;
	if (!ret && bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		ret = -errno;
	return ret;
}

static int bind_new_path(struct sockets *s, const struct sockaddr_un *addr, unsigned int backlog,
			 struct stat *st)
{
	int ret;

	s->fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ret = s->fds[0] < 0 ? -errno : bind_path(s->fds[0], addr);
	if (!ret && (lstat(addr->sun_path, st) < 0 || listen(s->fds[0], (int)backlog) < 0))
		ret = -errno;
	return ret;
}

/* All workers would wake for each connection, and a duplicate could not be closed: see taken. */
static int open_path(struct sockets *s, unsigned int n, unsigned int backlog, char *why)
{
	struct sockaddr_un addr;
	struct stat st;
	int ret = 0;

	s->addr.sa.sa_family = AF_UNIX;
	s->wanted = s->addr;
	for (; s->n < n; s->n++)
		s->fds[s->n] = -1;
	path_addr(&addr, path_of(s->where));
	/* One that nobody can reach any more is of no use. */
	if (lstat(addr.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		s->fds[0] = take_left(s, backlog);
	if (s->fds[0] < 0)
		ret = bind_new_path(s, &addr, backlog, &st);
	if (ret) {
		snprintf(why, SOCKETS_WHY_LEN, "cannot listen on %.255s: %s", s->where,
			 ret == -EADDRINUSE ? "another process listens there"
			 : ret == -EEXIST   ? "there is a file that is no socket"
					    : strerror(-ret));
		return ret;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

/* Unless another process has put its own there, or is to listen there. */
static void remove_path(const struct sockets *s)
{
	const char *path = path_of(s->where);
	struct stat st;

	if (!s->is_kept && s->ino && lstat(path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(path);
}

static int open_handed_over(struct sockets *s, unsigned int n, char *why)
{
	int fd = handover_fd(s->where + strlen(FD_PREFIX), s->nth);

	if (fd < 0) {
		snprintf(why, SOCKETS_WHY_LEN,
			 "%.255s: systemd passed no socket of that name; set FileDescriptorName= in the "
			 "socket "
			 "unit",
			 s->where);
		return fd;
	}
	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
		snprintf(why, SOCKETS_WHY_LEN, "%.255s: descriptor %d is not a listening stream socket",
			 s->where, fd);
		return -EINVAL;
	}
	for (; s->n < n; s->n++) {
		s->fds[s->n] = s->n ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : fd;
		if (s->fds[s->n] < 0)
			break;
	}
	if (s->n < n || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
		int err = -errno;

		snprintf(why, SOCKETS_WHY_LEN, "%.255s: %s", s->where, strerror(-err));
		while (s->n > 1)
			close(s->fds[--s->n]);
		return err;
	}
	return bound_to(fd, &s->addr);
}

static struct sockets *find_taken(const char *where, unsigned int nth)
{
	for (struct sockets *s = taken; s; s = s->next)
		if (strcmp(s->where, where) == 0 && s->nth == nth)
			return s;
	return NULL;
}

static void keep_taken(struct sockets *s)
{
	s->next = taken;
	taken = sockets_get(s);
}

static int open_new(struct sockets **sockets, const char *where, unsigned int nth, unsigned int n,
		    unsigned int backlog, char *why)
{
	struct sockets *s = calloc(1, sizeof(*s) + n * sizeof(s->fds[0]));
	int ret;

	if (!s || !(s->where = strdup(where))) {
		free(s);
		snprintf(why, SOCKETS_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	atomic_init(&s->refs, 1);
	s->kind = sockets_kind_of(where);
	s->nth = nth;
	ret = s->kind == SOCKETS_HANDED_OVER ? open_handed_over(s, n, why)
	      : s->kind == SOCKETS_PATH	     ? open_path(s, n, backlog, why)
					     : open_address(s, n, backlog, why);
	if (ret) {
		sockets_put(s);
		return ret;
	}
	if (s->kind == SOCKETS_HANDED_OVER)
		keep_taken(s);
	*sockets = s;
	return 0;
}

unsigned int sockets_count(const char *where)
{
	unsigned int n =
		sockets_kind_of(where) == SOCKETS_HANDED_OVER ? handover_count(where + strlen(FD_PREFIX)) : 0;

	return n ? n : 1;
}

int sockets_open(struct sockets **sockets, const char *where, unsigned int nth, unsigned int n,
		 unsigned int backlog, char *why)
{
	struct sockets *s = sockets_kind_of(where) == SOCKETS_HANDED_OVER ? find_taken(where, nth) : NULL;

	if (!s)
		return open_new(sockets, where, nth, n, backlog, why);
	*sockets = sockets_get(s);
	return 0;
}

bool sockets_are_at(const struct sockets *s, const char *where, unsigned int nth, const union addr *wanted)
{
	if (s->kind != SOCKETS_ADDRESS || sockets_kind_of(where) != SOCKETS_ADDRESS)
		return strcmp(s->where, where) == 0 && s->nth == nth;
	return addr_equal(&s->wanted, wanted) || addr_equal(&s->addr, wanted);
}

unsigned int sockets_acceptors(const struct sockets *s)
{
	return s->kind == SOCKETS_PATH ? 1 : s->n;
}

const char *sockets_text(const struct sockets *s, char *text)
{
	if (s->kind == SOCKETS_PATH)
		snprintf(text, SOCKETS_TEXT_LEN, "%s", s->where);
	else
		addr_text(&s->addr, text);
	return text;
}

/* listen(2) again keeps what is queued. */
void sockets_set_backlog(struct sockets *s, unsigned int backlog)
{
	for (unsigned int i = 0; i < sockets_acceptors(s) && s->kind != SOCKETS_HANDED_OVER; i++)
		listen(s->fds[i], (int)backlog);
}

void sockets_keep(struct sockets *s)
{
	if (s->kind != SOCKETS_HANDED_OVER && handover_keep(s->where, s->fds, sockets_acceptors(s)))
		s->is_kept = true;
}

void sockets_forget(struct sockets *s)
{
	if (s->is_kept)
		handover_forget(s->where);
	s->is_kept = false;
}

int sockets_hand_over(struct sockets *s, struct handover *to)
{
	return s->kind == SOCKETS_HANDED_OVER ? 0 : handover_add(to, s->where, s->fds, sockets_acceptors(s));
}

void sockets_leave_path(struct sockets *s)
{
	s->is_kept = true;
}

void sockets_close_one(struct sockets *s, unsigned int i)
{
	if (s->kind == SOCKETS_HANDED_OVER || s->fds[i] < 0)
		return;
	if (s->kind == SOCKETS_PATH)
		remove_path(s);
	close(s->fds[i]);
	s->fds[i] = -1;
}

struct sockets *sockets_get(struct sockets *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void sockets_put(struct sockets *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (unsigned int i = 0; i < s->n; i++)
		sockets_close_one(s, i);
	free(s->where);
	free(s);
}
