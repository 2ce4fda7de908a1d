/* SPDX-License-Identifier: MIT */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define FD_PREFIX "fd:"

/*
 * What was handed over and taken once stays open while the process lives. Closing would lose the number by
 * which it is known; and a duplicate that is closed stays in the epoll set of its worker's loop, under a
 * number that is soon another file's.
 */
static struct sockets *taken;

bool sockets_is_handed_over(const char *where)
{
	return !strncmp(where, FD_PREFIX, strlen(FD_PREFIX));
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

/* The descriptor that the service manager passed under @name, or -ENOENT. */
static int find_handed_over(const char *name)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names), found = -ENOENT;

	for (int i = 0; i < n; i++) {
		if (found < 0 && !strcmp(names[i], name))
			found = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	return found;
}

static int open_handed_over(struct sockets *s, unsigned int n, char *why)
{
	int fd = find_handed_over(s->where + strlen(FD_PREFIX));

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

static struct sockets *find_taken(const char *where)
{
	for (struct sockets *s = taken; s; s = s->next)
		if (strcmp(s->where, where) == 0)
			return s;
	return NULL;
}

static void keep_taken(struct sockets *s)
{
	s->next = taken;
	taken = sockets_get(s);
}

static int open_new(struct sockets **sockets, const char *where, unsigned int n, unsigned int backlog,
		    char *why)
{
	struct sockets *s = calloc(1, sizeof(*s) + n * sizeof(s->fds[0]));
	int ret;

	if (!s || !(s->where = strdup(where))) {
		free(s);
		snprintf(why, SOCKETS_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	atomic_init(&s->refs, 1);
	s->handed_over = sockets_is_handed_over(where);
	ret = s->handed_over ? open_handed_over(s, n, why) : open_address(s, n, backlog, why);
	if (ret) {
		sockets_put(s);
		return ret;
	}
	if (s->handed_over)
		keep_taken(s);
	*sockets = s;
	return 0;
}

int sockets_open(struct sockets **sockets, const char *where, unsigned int n, unsigned int backlog, char *why)
{
	struct sockets *s = sockets_is_handed_over(where) ? find_taken(where) : NULL;

	if (!s)
		return open_new(sockets, where, n, backlog, why);
	*sockets = sockets_get(s);
	return 0;
}

bool sockets_are_at(const struct sockets *s, const char *where, const union addr *wanted)
{
	if (s->handed_over || sockets_is_handed_over(where))
		return strcmp(s->where, where) == 0;
	return addr_equal(&s->wanted, wanted) || addr_equal(&s->addr, wanted);
}

/* listen(2) again keeps what is queued. */
void sockets_set_backlog(struct sockets *s, unsigned int backlog)
{
	for (unsigned int i = 0; i < s->n && !s->handed_over; i++)
		listen(s->fds[i], (int)backlog);
}

void sockets_close_one(struct sockets *s, unsigned int i)
{
	if (s->handed_over)
		return;
	if (s->fds[i] >= 0)
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
