/* SPDX-License-Identifier: MIT */
/*
 * Files whose read and write depend on who calls. They get no proxy, whatever namespaces the caller is in, so
 * that no helper ever does for alice what she may not do herself, or does it to the machine instead of her
 * container.
 */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct names {
	struct scene *s;
	struct fuse fuse;
	int cgroup; /* made by root, owned by alice */
};

static void refused(const char *what, int fd)
{
	if (fd < 0)
		fail_at(THERE(), "%s: %m", what);
	for (unsigned int policy = 0; policy < TAIO_NPOLICIES; policy++)
		for (uint32_t flags = 0; flags <= TAIO_ATTACH_INLINE; flags += TAIO_ATTACH_INLINE) {
			int got = taio_attach(fd, policy, flags);

			/* EINVAL: not of io_submit(2) either. */
			if (got != -EOPNOTSUPP && got != -EINVAL)
				fail_at(THERE(), "%s: %d (%s)", what, got,
					got < 0 ? strerror(-got) : "a proxy");
		}
	close(fd);
}

static int unix_pair(void)
{
	int fds[2];

	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	close(fds[1]);
	return fds[0];
}

/* Alice, root in namespaces of her own. */
static void alice_in_a_container(void *arg)
{
	static const struct {
		const char *path;
		int flags;
	} files[] = {
		{"/proc/sys/kernel/hostname", O_RDONLY},
		{"/proc/sys/kernel/domainname", O_RDONLY},
		{"/proc/sys/user/max_user_namespaces", O_RDONLY},
		{"/proc/self/mem", O_RDWR},
		{"/proc/self/comm", O_RDWR},
		{"/proc/self/oom_score_adj", O_RDWR},
		{"/proc/self/environ", O_RDONLY},
		{"/proc/self/attr/current", O_RDONLY},
		{"/proc/thread-self/status", O_RDONLY},
		{"/proc/net/tcp", O_RDONLY},
		{"/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY},
		{"/sys/module/taio/parameters/user_max", O_RDONLY},
		{"/sys/fs/cgroup/cgroup.procs", O_RDONLY},
		{"/dev/urandom", O_RDWR},
		{"/dev/random", O_RDWR},
		{"/dev/zero", O_RDWR},
		{"/dev/full", O_RDWR},
		{"/mnt/file", O_RDWR},
	};
	struct names *names = arg;
	int uffd, device;

	become_member(ALICE);
	enter_namespaces(CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWPID);
	SYS(sethostname("container", 9));
	fuse_pages(&names->fuse, FUSE_BACKGROUND, 1);
	for (unsigned int i = 0; i < ARRAY_LEN(files); i++) {
		HERE();
		refused(files[i].path, open(files[i].path, files[i].flags | O_CLOEXEC));
	}
	refused("cgroup.procs of alice", dup(names->cgroup));
	refused("netlink", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	refused("AF_UNIX", unix_pair());
	refused("AF_PACKET", socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
	refused("raw IP", socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
	refused("raw TCP", socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP));
	refused("raw UDP", socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP));
	refused("eventfd", eventfd(0, EFD_CLOEXEC));
	refused("timerfd", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	uffd_pages(1, &uffd);
	CHECK(taio_attach(uffd, TAIO_POLICY_BLOCK, 0) < 0);
	device = SYS(open("/dev/fuse", O_RDWR | O_CLOEXEC));
	CHECK(taio_attach(device, TAIO_POLICY_BLOCK, 0) < 0);
}

/* Root of a container without a user namespace, whose name it may set no more. */
static void root_without_capabilities(void *arg)
{
	(void)arg;
	SYS(unshare(CLONE_NEWUTS));
	SYS(sethostname("container", 9));
	become_user(0, 0);
	CHECK(sethostname("pwned", 5) && errno == EPERM);
	HERE();
	refused("hostname", open("/proc/sys/kernel/hostname", O_RDWR | O_CLOEXEC));
	refused("domainname", open("/proc/sys/kernel/domainname", O_RDWR | O_CLOEXEC));
	refused("swappiness", open("/proc/sys/vm/swappiness", O_RDWR | O_CLOEXEC));
	refused("user_max", open("/sys/module/taio/parameters/user_max", O_RDWR | O_CLOEXEC));
}

static int cgroup_of(uid_t uid, const char *dir)
{
	char path[128];
	int fd;

	if (mkdir(dir, 0755) && errno != EEXIST)
		fail_at(HERE(), "%s: %m", dir);
	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	SYS(chown(path, uid, uid));
	fd = SYS(open(path, O_RDWR | O_CLOEXEC));
	SYS(rmdir(dir));
	return fd;
}

TEST_CASE(files_that_depend_on_the_caller_are_refused_in_namespaces, ON(NONE), AS(CASE_ONCE))
{
	struct names *names = shared_make(sizeof(*names));
	char before[65] = "", after[65] = "";
	long allowed = uffd_allow(1);

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
	fuse_allow();
	SYS(gethostname(before, sizeof(before) - 1));
	names->s = s;
	names->cgroup = cgroup_of(ALICE, "/sys/fs/cgroup/hostile");
	CHECK_EQ(child_reap(child_start(alice_in_a_container, names), 20000), 0);
	SYS(kill(names->fuse.server, SIGKILL));
	child_reap(names->fuse.server, 5000);
	CHECK_EQ(child_reap(child_start(root_without_capabilities, NULL), 20000), 0);
	SYS(gethostname(after, sizeof(after) - 1));
	CHECK(!strcmp(before, after));
	uffd_allow(allowed);
}

/* Files of a file system of alice's, on top of the one that her server makes up. */
static void alice_with_layers(void *arg)
{
	struct names *names = arg;

	become_member(ALICE);
	enter_namespaces(CLONE_NEWNS);
	fuse_pages(&names->fuse, FUSE_BACKGROUND, 1);
	SYS(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	SYS(mkdir("/tmp/lower", 0755));
	SYS(mkdir("/tmp/over", 0755));
	SYS(mount("overlay", "/tmp/over", "overlay", 0, "lowerdir=/mnt:/tmp/lower"));
	HERE();
	refused("overlayfs on FUSE", open("/tmp/over/file", O_RDONLY | O_CLOEXEC));
}

TEST_CASE(fuse_below_overlayfs_is_refused, ON(NONE), AS(CASE_ONCE))
{
	struct names *names = shared_make(sizeof(*names));

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
	fuse_allow();
	names->s = s;
	CHECK_EQ(child_reap(child_start(alice_with_layers, names), 20000), 0);
	SYS(kill(names->fuse.server, SIGKILL));
	child_reap(names->fuse.server, 5000);
}

/* ramfs stands for what is refused: it can be an upper layer. */
static int file_of_layers(void)
{
	int fd;

	SYS(unshare(CLONE_NEWNS));
	SYS(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	SYS(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	SYS(mkdir("/tmp/lower", 0755));
	SYS(mkdir("/tmp/top", 0755));
	SYS(mkdir("/tmp/over", 0755));
	SYS(mount("ramfs", "/tmp/top", "ramfs", 0, NULL));
	SYS(mkdir("/tmp/top/upper", 0755));
	SYS(mkdir("/tmp/top/work", 0755));
	fd = SYS(open("/tmp/lower/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	CHECK_EQ(write(fd, "data", 4), 4);
	close(fd);
	SYS(mount("overlay", "/tmp/over", "overlay", 0,
		  "lowerdir=/tmp/lower,upperdir=/tmp/top/upper,workdir=/tmp/top/work"));
	return SYS(open("/tmp/over/file", O_RDONLY | O_CLOEXEC));
}

static long read_through(struct ring *ring, int proxy)
{
	char got[4];
	struct op op;

	read_start(ring, &op, proxy, got, sizeof(got));
	return await(ring, &op);
}

static void copied_up(void *arg)
{
	int file = file_of_layers(), proxies[2];
	struct ring ring;

	(void)arg;
	ring_open(&ring, 1);
	for (uint32_t i = 0; i < 2; i++) {
		proxies[i] = wrap(file, TAIO_POLICY_BLOCK, i ? TAIO_ATTACH_INLINE : 0);
		CHECK_EQ(read_through(&ring, proxies[i]), 4);
	}
	close(SYS(open("/tmp/over/file", O_WRONLY | O_CLOEXEC)));
	for (uint32_t i = 0; i < 2; i++)
		CHECK_EQ(read_through(&ring, proxies[i]), -EOPNOTSUPP);
	HERE();
	refused("overlayfs, copied up", file);
}

TEST_CASE(file_that_overlayfs_moves_to_what_is_refused_is_refused, ON(NONE), AS(CASE_ONCE))
{
	(void)s;
	CHECK_EQ(child_reap(child_start(copied_up, NULL), 20000), 0);
}
