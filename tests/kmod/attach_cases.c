/* SPDX-License-Identifier: MIT */
/* TAIO_IOC_ATTACH, TAIO_IOC_INFO and TAIO_IOC_SAME: what they refuse, with which error, and what a refusal
 * leaves behind. */
#include "semantics.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FLAGS_KNOWN (TAIO_ATTACH_INLINE | TAIO_ATTACH_STATE | TAIO_ATTACH_CLOEXEC | TAIO_ATTACH_COOP)
#define STATE_KNOWN (TAIO_STATE_FILE | TAIO_STATE_FS | TAIO_STATE_FILES)

static int make_proxy(void)
{
	int fds[2], proxy;

	scratch_pipe(fds);
	proxy = wrap(fds[0], TAIO_POLICY_PARK, 0);
	close(fds[0]);
	close(fds[1]);
	return proxy;
}

static int make_file_proxy(void)
{
	int file = scratch_file(1), proxy = wrap(file, TAIO_POLICY_BLOCK, 0);

	close(file);
	return proxy;
}

static int make_unix(int type)
{
	return SYS(socket(AF_UNIX, type, 0));
}

static int make_unix_stream(void)
{
	return make_unix(SOCK_STREAM);
}
static int make_unix_dgram(void)
{
	return make_unix(SOCK_DGRAM);
}
static int make_unix_seqpacket(void)
{
	return make_unix(SOCK_SEQPACKET);
}

static int make_unix_pair(void)
{
	int fds[2];

	SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	close(fds[1]);
	return fds[0];
}

static int make_directory(void)
{
	return SYS(open("/", O_RDONLY | O_DIRECTORY));
}
static int make_epoll(void)
{
	return SYS(epoll_create1(0));
}
static int make_inotify(void)
{
	return SYS(inotify_init1(0));
}
static int make_eventfd(void)
{
	return SYS(eventfd(0, 0));
}
static int make_device(void)
{
	return SYS(open(TAIO_DEVICE, O_RDWR));
}
static int make_null(void)
{
	return SYS(open("/dev/null", O_RDWR));
}
static int make_random(void)
{
	return SYS(open("/dev/urandom", O_RDONLY));
}
/* What is written there sets the name of the writer's UTS namespace, whoever has opened it. */
static int make_hostname(void)
{
	return SYS(open("/proc/sys/kernel/hostname", O_RDWR));
}
static int make_parameter(void)
{
	return SYS(open("/sys/module/taio/parameters/user_max", O_RDWR));
}
static int make_netlink(void)
{
	return SYS(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}
static int make_packet(void)
{
	return SYS(socket(AF_PACKET, SOCK_RAW, 0));
}
static int make_raw(void)
{
	return SYS(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
static int make_pidfd(void)
{
	return SYS(syscall(SYS_pidfd_open, getpid(), 0));
}
static int make_path(void)
{
	return SYS(open("/proc/self/status", O_PATH));
}
static int make_nothing(void)
{
	return -1;
}

static int make_closed(void)
{
	return 1000;
}

TEST_CASE(attach_refuses_files_that_cannot_be_proxied, ON(NONE), AS(CASE_ONCE))
{
	static const struct {
		const char *name;
		int (*make)(void);
		int error;
	} rows[] = {
		{"proxy of a stream", make_proxy, ELOOP},
		{"proxy of a file", make_file_proxy, ELOOP},
		{"AF_UNIX stream", make_unix_stream, EOPNOTSUPP},
		{"AF_UNIX dgram", make_unix_dgram, EOPNOTSUPP},
		{"AF_UNIX seqpacket", make_unix_seqpacket, EOPNOTSUPP},
		{"socketpair", make_unix_pair, EOPNOTSUPP},
		{"directory", make_directory, EISDIR},
		{"epoll", make_epoll, EINVAL},
		{"inotify", make_inotify, EINVAL},
		{"eventfd", make_eventfd, EOPNOTSUPP},
		{"/dev/null", make_null, EOPNOTSUPP},
		{"/dev/urandom", make_random, EOPNOTSUPP},
		{"sysctl", make_hostname, EOPNOTSUPP},
		{"sysfs", make_parameter, EOPNOTSUPP},
		{"netlink", make_netlink, EOPNOTSUPP},
		{"AF_PACKET", make_packet, EOPNOTSUPP},
		{"raw socket", make_raw, EOPNOTSUPP},
		{TAIO_DEVICE, make_device, EINVAL},
		{"pidfd", make_pidfd, EINVAL},
		{"O_PATH", make_path, EBADF},
		{"-1", make_nothing, EBADF},
		{"closed descriptor", make_closed, EBADF},
	};

	for (unsigned int i = 0; i < ARRAY_LEN(rows); i++)
		for (unsigned int policy = 0; policy < TAIO_NPOLICIES; policy++) {
			/* WORKER before Linux 6.10 */
			bool is_there = taio_attach(-1, policy, 0) == -EBADF;
			int fd = rows[i].make();
			unsigned int before = entries_of("/proc/self/fd");
			int got = taio_attach(fd, policy, s->flags);

			if (got != (is_there ? -rows[i].error : -EOPNOTSUPP))
				fail_at(HERE(), "attach of %s: %d (%s), not %s", rows[i].name, got,
					got < 0 ? strerror(-got) : "a proxy", strerror(rows[i].error));
			CHECK_EQ(entries_of("/proc/self/fd"), before);
			close(fd);
		}
}

static void read_by_proxy(struct scene *s, int fd, const char *name)
{
	int proxy = taio_attach(fd, s->policy, s->flags);
	char byte = 0;
	struct op op;

	if (proxy < 0)
		fail_at(HERE(), "attach of a file on %s: %s", name, strerror(-proxy));
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	read_start(&s->ring, &op, proxy, &byte, 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	CHECK_EQ(byte, 'x');
	close(proxy);
	close(fd);
}

/* A file of an overlay over directories of a tmpfs, all of it mounted below @dir. */
static int overlay_file(const char *dir)
{
	static const char *const names[] = {"lower", "upper", "work", "all"};
	char path[64], options[256];

	SYS(mount("taio", dir, "tmpfs", 0, NULL));
	for (unsigned int i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		SYS(mkdir(path, 0700));
	}
	snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", dir, dir,
		 dir);
	SYS(mount("taio", path, "overlay", 0, options));
	snprintf(path, sizeof(path), "%s/all/file", dir);
	return SYS(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

TEST_CASE(attach_takes_files_of_listed_file_systems, ON(NONE))
{
	char dir[] = "/tmp/taio-overlay-XXXXXX", path[64];

	scene_ring(s, 4);
	read_by_proxy(s, scratch_file(1), "tmpfs");
	read_by_proxy(s, scratch_disk_file(1), "ext4");
	CHECK(mkdtemp(dir));
	read_by_proxy(s, overlay_file(dir), "overlayfs");
	snprintf(path, sizeof(path), "%s/all", dir);
	SYS(umount2(path, MNT_DETACH));
	SYS(umount2(dir, MNT_DETACH));
	SYS(rmdir(dir));
}

static void expect_attach(const struct taio_ioc_attach *attach, int error, const char *what, uint64_t value)
{
	int got = taio_attach_raw(attach);

	if (got != -error)
		fail_at(THERE(), "attach with %s %#jx: %d (%s), not %s", what, (uintmax_t)value, got,
			got < 0 ? strerror(-got) : "a proxy", strerror(error));
}

TEST_CASE(attach_refuses_unknown_bits, ON(NONE), AS(CASE_ONCE))
{
	static const uint32_t policies[] = {TAIO_NPOLICIES, 100, INT32_MAX, UINT32_MAX};
	struct taio_ioc_attach good, attach;
	int fds[2];

	(void)s;
	scratch_pipe(fds);
	good = (struct taio_ioc_attach){.fd = fds[0], .policy = TAIO_POLICY_BLOCK};
	for (unsigned int i = 0; i < ARRAY_LEN(policies); i++) {
		attach = good;
		attach.policy = policies[i];
		HERE();
		expect_attach(&attach, EINVAL, "policy", attach.policy);
	}
	for (unsigned int bit = 0; bit < 32; bit++) {
		attach = good;
		attach.flags = 1u << bit;
		HERE();
		if (!(attach.flags & FLAGS_KNOWN))
			expect_attach(&attach, EINVAL, "flags", attach.flags);
		attach.flags = TAIO_ATTACH_STATE;
		attach.state = TAIO_STATE_MM | 1u << bit;
		if (!(1u << bit & STATE_KNOWN))
			expect_attach(&attach, EINVAL, "state", attach.state);
	}
	for (unsigned int bit = 0; bit < 2 * 64; bit++) {
		attach = good;
		attach.reserved[bit / 64] = 1ull << bit % 64;
		HERE();
		expect_attach(&attach, EINVAL, bit < 64 ? "reserved[0]" : "reserved[1]", 1ull << bit % 64);
	}
	CHECK(taio_attach_raw(&good) >= 0);
}

TEST_CASE(attach_refuses_a_state_it_cannot_keep, ON(NONE), AS(CASE_ONCE))
{
	static const struct {
		uint32_t flags, state;
		int error;
	} rows[] = {
		{0, TAIO_STATE_MM, EINVAL},
		{0, TAIO_STATE_FILE, EINVAL},
		{TAIO_ATTACH_INLINE, TAIO_STATE_STREAM, EINVAL},
		{TAIO_ATTACH_STATE, 0, EINVAL},
		{TAIO_ATTACH_STATE, TAIO_STATE_CRED, EINVAL},
		{TAIO_ATTACH_STATE, TAIO_STATE_FILE & ~TAIO_STATE_MM, EINVAL},
		{TAIO_ATTACH_STATE, TAIO_STATE_STREAM | TAIO_STATE_FS, EOPNOTSUPP},
		{TAIO_ATTACH_STATE, TAIO_STATE_STREAM | TAIO_STATE_FILES, EOPNOTSUPP},
		{TAIO_ATTACH_STATE, TAIO_STATE_FILE | TAIO_STATE_FS | TAIO_STATE_FILES, EOPNOTSUPP},
	};

	(void)s;
	for (unsigned int kind = 0; kind < SCRATCH_NKINDS; kind++) {
		int fds[2];

		scratch_make(kind, fds);
		for (unsigned int i = 0; i < ARRAY_LEN(rows); i++) {
			struct taio_ioc_attach attach = {
				.fd = fds[0], .flags = rows[i].flags, .state = rows[i].state};

			HERE();
			expect_attach(&attach, rows[i].error, "state", rows[i].state);
		}
	}
}

/* Which bits may be left out by whom. Streams take no BLKCG and no FSIZE by default: leaving those out is
 * nothing. */
static const struct privilege_row {
	enum scratch_kind kind;
	uint32_t state;
	uint64_t caps; /* the caller's, that is else nobody in particular */
	int error;
} privilege_rows[] = {
	{SCRATCH_TCP, TAIO_STATE_STREAM, 0, 0},
	{SCRATCH_TCP, TAIO_STATE_FILE, 0, 0},
	{SCRATCH_TCP, TAIO_STATE_MM, 0, EPERM},
	{SCRATCH_TCP, TAIO_STATE_MM, 1ull << CAP_SYS_RESOURCE, EPERM},
	{SCRATCH_TCP, TAIO_STATE_MM, 1ull << CAP_SYS_ADMIN, 0},
	{SCRATCH_PIPE, TAIO_STATE_STREAM, 0, 0},
	{SCRATCH_PIPE, TAIO_STATE_MM, 0, EPERM},
	{SCRATCH_TTY, TAIO_STATE_MM, 0, EPERM},
	{SCRATCH_FILE, TAIO_STATE_FILE, 0, 0},
	{SCRATCH_FILE, TAIO_STATE_FILE & ~TAIO_STATE_IOCONTEXT, 0, 0},
	{SCRATCH_FILE, TAIO_STATE_FILE & ~TAIO_STATE_CRED, 0, EPERM},
	{SCRATCH_FILE, TAIO_STATE_FILE & ~TAIO_STATE_BLKCG, 0, EPERM},
	{SCRATCH_FILE, TAIO_STATE_FILE & ~TAIO_STATE_BLKCG, 1ull << CAP_SYS_RESOURCE, EPERM},
	{SCRATCH_FILE, TAIO_STATE_FILE & ~TAIO_STATE_BLKCG, 1ull << CAP_SYS_ADMIN, 0},
	{SCRATCH_FILE, TAIO_STATE_FILE & ~TAIO_STATE_FSIZE, 0, EPERM},
	{SCRATCH_FILE, TAIO_STATE_FILE & ~TAIO_STATE_FSIZE, 1ull << CAP_SYS_ADMIN, EPERM},
	{SCRATCH_FILE, TAIO_STATE_FILE & ~TAIO_STATE_FSIZE, 1ull << CAP_SYS_RESOURCE, 0},
	{SCRATCH_FILE, TAIO_STATE_MM, 1ull << CAP_SYS_ADMIN, EPERM},
	{SCRATCH_FILE, TAIO_STATE_MM, 1ull << CAP_SYS_ADMIN | 1ull << CAP_SYS_RESOURCE, 0},
};

static void attach_as_user(void *arg)
{
	const struct privilege_row *row = arg;
	struct taio_ioc_attach attach = {.flags = TAIO_ATTACH_STATE, .state = row->state};
	int device = SYS(open(TAIO_DEVICE, O_RDWR)), fds[2], got;

	scratch_make(row->kind, fds);
	attach.fd = fds[0];
	become_user(1000, row->caps);
	got = ioctl(device, TAIO_IOC_ATTACH, &attach) < 0 ? errno : 0;
	if (got != row->error)
		fail_at(HERE(), "%s, state %#x, capabilities %#jx: %s, not %s", scratch_names[row->kind],
			row->state, (uintmax_t)row->caps, strerror(got), strerror(row->error));
}

TEST_CASE(attach_of_less_state_needs_privilege, ON(NONE), AS(CASE_ONCE))
{
	(void)s;
	for (unsigned int i = 0; i < ARRAY_LEN(privilege_rows); i++)
		CHECK_EQ(child_reap(child_start(attach_as_user, (void *)&privilege_rows[i]), 10000), 0);
	for (unsigned int kind = 0; kind < SCRATCH_NKINDS; kind++) {
		int fds[2];

		scratch_make(kind, fds);
		wrap_state(fds[0], TAIO_POLICY_BLOCK, 0, TAIO_STATE_MM);
	}
}

TEST_CASE(attach_survives_bad_pointers, ON(NONE), AS(CASE_ONCE))
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int device = make_device(), fds[2], proxy;
	unsigned int before;
	void *const bad[] = {NULL, (void *)-1, (void *)0xffffffff81000000, pages + 4096 - 8};

	(void)s;
	CHECK(pages != MAP_FAILED);
	SYS(munmap(pages + 4096, 4096));
	scratch_pipe(fds);
	proxy = wrap(fds[0], TAIO_POLICY_BLOCK, 0);
	before = entries_of("/proc/self/fd");
	for (unsigned int i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK(ioctl(device, TAIO_IOC_ATTACH, bad[i]) == -1 && errno == EFAULT);
		CHECK(ioctl(proxy, TAIO_IOC_INFO, bad[i]) == -1 && errno == EFAULT);
	}
	CHECK_EQ(entries_of("/proc/self/fd"), before);
}

TEST_CASE(attach_without_a_free_descriptor_leaks_nothing, ON(NONE), AS(CASE_ONCE))
{
	struct rlimit limit, saved;
	int device = make_device(), fds[2];
	struct taio_ioc_attach attach = {.policy = TAIO_POLICY_BLOCK};
	long refcnt = module_refcnt();

	(void)s;
	scratch_pipe(fds);
	attach.fd = fds[0];
	SYS(getrlimit(RLIMIT_NOFILE, &saved));
	limit = (struct rlimit){.rlim_cur = (rlim_t)fds[1] + 1, .rlim_max = saved.rlim_max};
	SYS(setrlimit(RLIMIT_NOFILE, &limit));
	for (unsigned int i = 0; i < 100; i++)
		CHECK(ioctl(device, TAIO_IOC_ATTACH, &attach) == -1 && errno == EMFILE);
	SYS(setrlimit(RLIMIT_NOFILE, &saved));
	CHECK_EQ(module_refcnt(), refcnt);
	/* Nobody holds the reading end any more. */
	close(fds[0]);
	CHECK(write(fds[1], "", 1) == -1 && errno == EPIPE);
}

TEST_CASE(ioctl_numbers_are_ours_alone, ON(NONE), AS(CASE_ONCE))
{
	struct taio_ioc_attach attach = {.fd = 0};
	struct taio_ioc_info info;
	int device = make_device(), proxy = make_proxy();

	(void)s;
	CHECK(ioctl(device, TAIO_IOC_CANCEL) == -1 && errno == ENOTTY);
	CHECK(ioctl(device, TAIO_IOC_INFO, &info) == -1 && errno == ENOTTY);
	CHECK(ioctl(device, TAIO_IOC_SAME, 0) == -1 && errno == ENOTTY);
	CHECK(ioctl(proxy, TAIO_IOC_ATTACH, &attach) == -1 && errno == ENOTTY);
	for (unsigned int nr = 0; nr < 256; nr++) {
		if (nr >= 0x60 && nr <= 0x63)
			continue;
		CHECK(ioctl(device, _IO(0xf7, nr)) == -1 && errno == ENOTTY);
		CHECK(ioctl(proxy, _IO(0xf7, nr)) == -1 && errno == ENOTTY);
	}
	/* The same numbers with another size or direction. */
	CHECK(ioctl(device, _IOW(0xf7, 0x60, char[8]), &attach) == -1 && errno == ENOTTY);
	CHECK(ioctl(device, _IOR(0xf7, 0x60, struct taio_ioc_attach), &attach) == -1 && errno == ENOTTY);
	CHECK(ioctl(proxy, _IOW(0xf7, 0x62, struct taio_ioc_info), &info) == -1 && errno == ENOTTY);
}

TEST_CASE(same_tells_whether_a_descriptor_is_of_the_open_file, ON(NONE), AS(CASE_ONCE))
{
	int file = scratch_file(1), proxy = wrap(file, TAIO_POLICY_BLOCK, 0), copy = SYS(dup(file)), again;
	char path[32];

	(void)s;
	CHECK_EQ(ioctl(proxy, TAIO_IOC_SAME, file), 1);
	CHECK_EQ(ioctl(proxy, TAIO_IOC_SAME, copy), 1);
	CHECK_EQ(ioctl(proxy, TAIO_IOC_SAME, proxy), 0);
	CHECK(ioctl(proxy, TAIO_IOC_SAME, -1) == -1 && errno == EBADF);
	/* The same file with the same flags, opened once more. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	again = SYS(open(path, O_RDWR));
	CHECK_EQ(ioctl(proxy, TAIO_IOC_SAME, again), 0);
	SYS(dup2(again, file));
	CHECK_EQ(ioctl(proxy, TAIO_IOC_SAME, file), 0);
	CHECK_EQ(ioctl(proxy, TAIO_IOC_SAME, copy), 1);
	close(again);
	close(copy);
	close(file);
	close(proxy);
}

TEST_CASE(proxy_holds_the_file, ON(NONE))
{
	char byte = 0;
	struct pollfd writer = {0};
	int fds[2], proxy;
	struct op op;

	scratch_pipe(fds);
	writer.fd = fds[1];
	proxy = proxy_make(s, fds[0]);
	close(fds[0]);
	scene_ring(s, 4);
	read_start(&s->ring, &op, proxy, &byte, 1);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	CHECK_EQ(byte, 'x');
	close(proxy);
	/* Whoever completed the read lets go of the file a moment after its event is seen. */
	CHECK_EQ(poll(&writer, 1, 10000), 1);
	CHECK(writer.revents & POLLERR);
	CHECK(write(fds[1], "x", 1) == -1 && errno == EPIPE);
}

static int reopen(int fd, int mode)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return SYS(open(path, mode | O_CLOEXEC));
}

/* The access mode of the proxy, and which of its operations the kernel refuses for it. */
TEST_CASE(proxy_follows_the_mode_of_the_file, ON(NONE))
{
	static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR};

	scene_ring(s, 4);
	for (unsigned int i = 0; i < ARRAY_LEN(modes); i++) {
		int fds[2], fd, proxy;
		char byte = 'x';
		struct op op;

		scratch_pipe(fds);
		CHECK_EQ(write(fds[1], &byte, 1), 1);
		fd = reopen(fds[0], modes[i]);
		proxy = proxy_make(s, fd);
		CHECK_EQ(fcntl(proxy, F_GETFL) & O_ACCMODE, modes[i]);
		op_read(&op, proxy, &byte, 1);
		CHECK_EQ(op_try(&s->ring, &op), modes[i] == O_WRONLY ? -EBADF : 1);
		if (modes[i] != O_WRONLY)
			CHECK_EQ(await(&s->ring, &op), 1);
		op_write(&op, proxy, &byte, 1);
		CHECK_EQ(op_try(&s->ring, &op), modes[i] == O_RDONLY ? -EBADF : 1);
		if (modes[i] != O_RDONLY)
			CHECK_EQ(await(&s->ring, &op), 1);
		CHECK(modes[i] != O_WRONLY || (read(proxy, &byte, 1) == -1 && errno == EBADF));
		CHECK(modes[i] != O_RDONLY || (write(proxy, &byte, 1) == -1 && errno == EBADF));
		close(fds[0]);
		close(fds[1]);
		close(fd);
		close(proxy);
	}
}

TEST_CASE(cloexec_is_set_when_asked_for, ON(NONE), AS(CASE_ONCE))
{
	int fds[2];

	scratch_pipe(fds);
	CHECK_EQ(fcntl(wrap(fds[0], s->policy, TAIO_ATTACH_CLOEXEC), F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(wrap(fds[0], s->policy, 0), F_GETFD), 0);
}

TEST_CASE(info_tells_what_the_proxy_is, ON(NONE))
{
	for (unsigned int kind = 0; kind < SCRATCH_NKINDS; kind++) {
		bool any = kind == SCRATCH_TCP || kind == SCRATCH_PIPE || s->policy == TAIO_POLICY_WORKER;
		struct taio_ioc_info info;
		int fds[2], proxy;

		memset(&info, 0xff, sizeof(info));
		scratch_make(kind, fds);
		proxy = wrap(fds[0], s->policy, s->flags);
		proxy_info(proxy, &info);
		CHECK_EQ(info.policy, any ? s->policy : TAIO_POLICY_BLOCK);
		CHECK_EQ(info.flags & TAIO_ATTACH_INLINE, s->flags);
		CHECK_EQ(info.state, kind == SCRATCH_FILE ? TAIO_STATE_FILE : TAIO_STATE_STREAM);
		CHECK_EQ(info.inflight, 0);
		CHECK_EQ(info.reserved[0] | info.reserved[1], 0);
		close(proxy);

		proxy = wrap_state(fds[0], s->policy, s->flags, TAIO_STATE_MM | TAIO_STATE_IOCONTEXT);
		proxy_info(proxy, &info);
		CHECK_EQ(info.state, TAIO_STATE_MM | TAIO_STATE_IOCONTEXT);
		close(proxy);
	}
}

TEST_CASE(info_counts_what_is_in_flight, ON(STREAMS))
{
	struct link *link = scene_open(s, 8);
	struct op ops[8];
	char bytes[8];

	for (unsigned int i = 0; i < ARRAY_LEN(ops); i++) {
		read_start(&s->ring, &ops[i], link->afd_in, &bytes[i], 1);
		until_inflight(link->afd_in, i + 1);
	}
	peer_write(link, "12345678", 8);
	for (unsigned int i = 0; i < ARRAY_LEN(ops); i++)
		CHECK_EQ(await(&s->ring, &ops[i]), 1);
	until_inflight(link->afd_in, 0);
}
