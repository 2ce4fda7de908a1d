/* SPDX-License-Identifier: MIT */
/*
 * openat2(2) with RESOLVE_BENEATH, and an equivalent walk in user space where openat2 is refused. systemd's
 * RestrictSUIDSGID=, which DynamicUser= implies, makes it fail with ENOSYS because a seccomp filter cannot
 * inspect its argument; old container runtimes make it fail with EPERM.
 *
 * Invariant of the walk: each name is looked up in an open directory with O_NOFOLLOW, and ".." returns to the
 * descriptor it was reached from, never to the kernel's "..". So every descriptor was reached from the root
 * by descending through directories only.
 */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* With RESOLVE_BENEATH, openat2(2) fails with EAGAIN if it races with a rename. */
#define OPEN_RETRIES 8

#define LINKS_MAX 40 /* the kernel's limit */
#define DEPTH_MAX 64

struct walk {
	int dirs[DEPTH_MAX + 1]; /* dirs[0] is the caller's */
	int depth;
	int links;
	char *rest; /* the part of todo still to be walked */
	char todo[PATH_MAX];
};

/* Cuts the next name off the rest of the path, which is left without leading slashes. */
static char *next_name(struct walk *w, bool *dir_wanted)
{
	char *name = w->rest, *slash = strchr(name, '/');

	*dir_wanted = slash;
	w->rest = slash ? slash : name + strlen(name);
	while (*w->rest == '/')
		*w->rest++ = '\0';
	return name;
}

static int go_up(struct walk *w)
{
	if (!w->depth)
		return -EXDEV;
	close(w->dirs[w->depth--]);
	return 0;
}

/* Prepends the target of the link to the rest of the path. */
static int follow(struct walk *w, int linkfd, bool dir_wanted)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t n = readlinkat(linkfd, "", target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if (target[0] == '/')
		return -EXDEV;
	target[n] = '\0';
	strcpy(rest, w->rest);
	n = snprintf(w->todo, sizeof(w->todo), "%s%s%s", target, dir_wanted ? "/" : "", rest);
	w->rest = w->todo;
	return n < (int)sizeof(w->todo) ? 0 : -ENAMETOOLONG;
}

static int go_down(struct walk *w, int fd)
{
	if (w->depth == DEPTH_MAX)
		return -ENAMETOOLONG;
	w->dirs[++w->depth] = fd;
	return 0;
}

/* @fd was opened with O_PATH. The name may refer to another file by now, but no link is followed. */
static int open_last(struct walk *w, const char *name, int fd, uint64_t flags)
{
	int opened;

	if (flags & O_PATH)
		return fd;
	opened = openat(w->dirs[w->depth], name, (int)flags | O_NOFOLLOW | O_CLOEXEC);
	opened = opened < 0 ? -errno : opened;
	close(fd);
	return opened;
}

/* Walks one name. Returns a descriptor if it was the last, -EINPROGRESS if the walk goes on, or -errno. */
static int step(struct walk *w, uint64_t flags)
{
	bool dir_wanted;
	char *name = next_name(w, &dir_wanted);
	struct stat st;
	int fd, ret;

	if (!strcmp(name, "."))
		return -EINPROGRESS;
	if (!strcmp(name, "..")) {
		ret = go_up(w);
		return ret ? ret : -EINPROGRESS;
	}
	fd = openat(w->dirs[w->depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		ret = -errno;
		goto close_fd;
	}
	if (S_ISLNK(st.st_mode)) {
		ret = follow(w, fd, dir_wanted);
		close(fd);
		return ret ? ret : -EINPROGRESS;
	}
	if (!dir_wanted)
		return open_last(w, name, fd, flags);
	ret = S_ISDIR(st.st_mode) ? go_down(w, fd) : -ENOTDIR;
	if (!ret)
		return -EINPROGRESS;
close_fd:
	close(fd);
	return ret;
}

int beneath_walk(int dirfd, const char *path, uint64_t flags)
{
	struct walk w = {.dirs = {dirfd}};
	size_t len = strlen(path);
	int ret = -EINPROGRESS;

	if (len >= sizeof(w.todo))
		return -ENAMETOOLONG;
	if (*path == '/')
		return -EXDEV;
	memcpy(w.todo, path, len + 1);
	w.rest = w.todo;
	while (ret == -EINPROGRESS && *w.rest)
		ret = step(&w, flags);
	if (ret == -EINPROGRESS) {
		ret = openat(w.dirs[w.depth], ".", (int)flags | O_CLOEXEC);
		ret = ret < 0 ? -errno : ret;
	}
	while (w.depth)
		go_up(&w);
	return ret;
}

int beneath_open(int dirfd, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	for (int i = 0; i < OPEN_RETRIES; i++) {
		fd = (int)syscall(SYS_openat2, dirfd, *path ? path : ".", &how, sizeof(how));
		if (fd >= 0)
			return fd;
		if (errno == ENOSYS || errno == EPERM)
			return beneath_walk(dirfd, path, flags);
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return -errno;
}
