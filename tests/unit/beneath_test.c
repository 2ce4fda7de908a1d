/* SPDX-License-Identifier: MIT */
/* beneath: the walk in user space finds and refuses what openat2(2) does; no way of either leads out. */
#include "server/http/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char top[] = "/tmp/beneath_test.XXXXXX";
static int rootfd, topfd;

static const struct {
	const char *name, *to;
} links[] = {
	{"to-file", "a/b/file"},
	{"to-dir", "a/b"},
	{"up-and-down", "a/../a/b/file"},
	{"a/over", "../a/b/../b/file"},
	{"out", "../secret"},
	{"a/out", "../../secret"},
	{"absolute", "/etc/passwd"},
	{"chain1", "chain2"},
	{"chain2", "to-dir/../over"},
	{"loop", "loop"},
	{"loop1", "loop2"},
	{"loop2", "loop1"},
	{"dangling", "nowhere"},
	{"dir-slash", "a/b/"},
	{"file-slash", "a/b/file/"},
	{"self", "."},
	{"out-and-in", "../root/a"},
};

static int setup(void **unused)
{
	int fd;

	if (!mkdtemp(top))
		return -1;
	topfd = open(top, O_PATH | O_CLOEXEC);
	if (mkdirat(topfd, "root", 0755) || mkdirat(topfd, "root/a", 0755) ||
	    mkdirat(topfd, "root/a/b", 0755))
		return -1;
	rootfd = openat(topfd, "root", O_PATH | O_CLOEXEC);
	fd = openat(topfd, "secret", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	close(fd);
	fd = openat(rootfd, "a/b/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	close(fd);
	for (size_t i = 0; i < COUNT(links); i++)
		if (symlinkat(links[i].to, rootfd, links[i].name))
			return -1;
	return mkfifoat(rootfd, "fifo", 0644);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **unused)
{
	close(rootfd);
	close(topfd);
	return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* What became of an open: the error, or the inode; the descriptor is closed. */
struct outcome {
	int err;
	ino_t ino;
	mode_t mode;
};

static struct outcome outcome_of(int fd)
{
	struct stat st;

	if (fd < 0)
		return (struct outcome){.err = fd};
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	return (struct outcome){.ino = st.st_ino, .mode = st.st_mode};
}

static unsigned int count_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void compare(const char *path, uint64_t flags)
{
	unsigned int before = count_fds();
	struct outcome by_kernel = outcome_of(beneath_open(rootfd, path, flags));
	struct outcome by_walk = outcome_of(beneath_walk(rootfd, path, flags));

	if (by_kernel.err != by_walk.err || by_kernel.ino != by_walk.ino || by_kernel.mode != by_walk.mode)
		fail_msg("'%s': openat2 %d, walk %d", path, by_kernel.err, by_walk.err);
	assert_int_equal(count_fds(), before);
}

static void the_walk_does_what_openat2_does(void **unused)
{
	static const char *const paths[] = {
		"",
		".",
		"./",
		"a",
		"a/",
		"a//b///file",
		"a/b/file",
		"a/b/file/",
		"a/b/file/x",
		"a/b/file/..",
		"none",
		"none/x",
		"a/none",
		"..",
		"../secret",
		"a/..",
		"a/../..",
		"a/../../root/a",
		"a/b/../../..",
		"/",
		"/etc/passwd",
		"to-file",
		"to-file/",
		"to-file/x",
		"to-dir",
		"to-dir/",
		"to-dir/file",
		"to-dir/..",
		"to-dir/../b/file",
		"up-and-down",
		"a/over",
		"out",
		"a/out",
		"absolute",
		"chain1",
		"loop",
		"loop/x",
		"loop1",
		"dangling",
		"dangling/",
		"dir-slash",
		"dir-slash/file",
		"file-slash",
		"self",
		"self/self/a",
		"out-and-in",
		"out-and-in/b",
		"fifo",
		"fifo/",
		"...",
		"a/...",
	};
	static const uint64_t flags[] = {O_PATH, O_RDONLY | O_NONBLOCK | O_NOCTTY};

	for (size_t i = 0; i < COUNT(paths); i++)
		for (size_t f = 0; f < COUNT(flags); f++)
			compare(paths[i], flags[f]);
}

static void random_ways_agree(void **unused)
{
	static const char *const parts[] = {"a",	"b",	   "file",	"..",	     ".",    "",
					    "to-dir",	"to-file", "a/over",	"out",	     "self", "chain1",
					    "absolute", "loop",	   "dir-slash", "out-and-in"};
	unsigned int seed = 1;

	for (int round = 0; round < 20000; round++) {
		char path[256] = "";

		for (int i = rand_r(&seed) % 7; i >= 0; i--) {
			strcat(path, parts[(size_t)rand_r(&seed) % COUNT(parts)]);
			strcat(path, i ? "/" : "");
		}
		compare(path, O_PATH);
	}
}

static void names_and_depths_without_end_are_refused(void **unused)
{
	char path[8192];

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(beneath_walk(rootfd, path, O_PATH), -ENAMETOOLONG);
	path[4000] = '\0';
	assert_int_equal(beneath_walk(rootfd, path, O_PATH), -ENAMETOOLONG);
	path[0] = '\0';
	for (int i = 0; i < 100; i++)
		strcat(path, "self/a/../");
	assert_int_equal(beneath_walk(rootfd, path, O_PATH), -ELOOP);
}

static void every_way_that_leads_out_is_refused(void **unused)
{
	static const char *const paths[] = {"..",  "../secret", "a/../../secret", "/etc/passwd",
					    "out", "a/out",	"absolute",	  "out-and-in"};

	for (size_t i = 0; i < COUNT(paths); i++) {
		assert_int_equal(beneath_walk(rootfd, paths[i], O_PATH), -EXDEV);
		assert_int_equal(beneath_open(rootfd, paths[i], O_PATH), -EXDEV);
	}
}

/* The last test: from here on the process has no openat2(2), as under RestrictSUIDSGID= of systemd. */
static void where_openat2_is_refused_files_are_found_all_the_same(void **unused)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = COUNT(filter), .filter = filter};
	struct outcome before = outcome_of(beneath_open(rootfd, "to-dir/file", O_PATH)), after;

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
	assert_int_equal(syscall(SYS_openat2, rootfd, ".", NULL, 0), -1);
	assert_int_equal(errno, ENOSYS);
	after = outcome_of(beneath_open(rootfd, "to-dir/file", O_PATH));
	assert_int_equal(before.err, 0);
	assert_int_equal(after.err, 0);
	assert_int_equal(after.ino, before.ino);
	assert_int_equal(beneath_open(rootfd, "out", O_PATH), -EXDEV);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_walk_does_what_openat2_does),
		cmocka_unit_test(random_ways_agree),
		cmocka_unit_test(names_and_depths_without_end_are_refused),
		cmocka_unit_test(every_way_that_leads_out_is_refused),
		cmocka_unit_test(where_openat2_is_refused_files_are_found_all_the_same),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
