/* SPDX-License-Identifier: MIT */
/* Files, users and limits that the cases of kmod_semantics_test share. What is opened here is closed by the process' end. */
#include "semantics.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

const char *const scratch_names[] = {
	[SCRATCH_TCP] = "tcp", [SCRATCH_PIPE] = "pipe", [SCRATCH_TTY] = "tty", [SCRATCH_FILE] = "file"};

static int fill(int fd, size_t nbytes)
{
	char buf[4096];

	for (size_t at = 0; at < nbytes; at += sizeof(buf)) {
		size_t n = nbytes - at < sizeof(buf) ? nbytes - at : sizeof(buf);

		pattern_fill(buf, n, at, 0);
		CHECK_EQ(pwrite(fd, buf, n, (off_t)at), n);
	}
	return fd;
}

int scratch_file(size_t nbytes)
{
	return fill(SYS(memfd_create("scratch", MFD_CLOEXEC)), nbytes);
}

int scratch_disk_file(size_t nbytes)
{
	const char *dir = getenv("KMOD_DISK_DIR");
	int fd;

	if (!dir)
		fail_at(THERE(), "KMOD_DISK_DIR names no directory");
	fd = fill(SYS(open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)), nbytes);
	SYS(fsync(fd));
	return fd;
}

void scratch_pipe(int fds[2])
{
	SYS(pipe2(fds, O_CLOEXEC));
}

void scratch_tcp(int fds[2])
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int listener = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	SYS(bind(listener, (struct sockaddr *)&addr, len));
	SYS(listen(listener, 1));
	SYS(getsockname(listener, (struct sockaddr *)&addr, &len));
	fds[0] = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(connect(fds[0], (struct sockaddr *)&addr, len));
	fds[1] = SYS(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	close(listener);
}

void scratch_tty(int fds[2])
{
	struct termios raw;

	SYS(openpty(&fds[1], &fds[0], NULL, NULL, NULL));
	SYS(tcgetattr(fds[0], &raw));
	cfmakeraw(&raw);
	SYS(tcsetattr(fds[0], TCSANOW, &raw));
}

void scratch_make(enum scratch_kind kind, int fds[2])
{
	fds[1] = -1;
	switch (kind) {
	case SCRATCH_TCP:
		scratch_tcp(fds);
		break;
	case SCRATCH_PIPE:
		scratch_pipe(fds);
		break;
	case SCRATCH_TTY:
		scratch_tty(fds);
		break;
	case SCRATCH_FILE:
	default:
		fds[0] = scratch_file(4096);
	}
}

/* By system call: the C library's functions would change all threads. */
void become_user(uid_t uid, uint64_t caps)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2] = {
		{.effective = (uint32_t)caps, .permitted = (uint32_t)caps},
		{.effective = (uint32_t)(caps >> 32), .permitted = (uint32_t)(caps >> 32)},
	};

	SYS(setgroups(0, NULL));
	SYS(prctl(PR_SET_KEEPCAPS, 1));
	SYS(syscall(SYS_setresgid, uid, uid, uid));
	SYS(syscall(SYS_setresuid, uid, uid, uid));
	SYS(syscall(SYS_capset, &header, sets));
}

void act_as_user(uid_t uid)
{
	SYS(syscall(SYS_setresuid, -1, uid, -1));
}

unsigned int fds_open(void)
{
	unsigned int n = 0;
	DIR *dir = opendir("/proc/self/fd");

	CHECK(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int attach_or_fail(const struct taio_ioc_attach *attach)
{
	int proxy = taio_attach_raw(attach);

	if (proxy < 0)
		fail_at(THERE(), "attach, policy %u, flags %#x, state %#x: %s", attach->policy, attach->flags,
			attach->state, strerror(-proxy));
	return proxy;
}

int wrap(int fd, enum taio_policy_id policy, uint32_t flags)
{
	struct taio_ioc_attach attach = {.fd = fd, .policy = policy, .flags = flags};

	return attach_or_fail(&attach);
}

int wrap_state(int fd, enum taio_policy_id policy, uint32_t flags, uint32_t state)
{
	struct taio_ioc_attach attach = {
		.fd = fd, .policy = policy, .flags = flags | TAIO_ATTACH_STATE, .state = state};

	return attach_or_fail(&attach);
}

void until_inflight_(int proxy, unsigned int n)
{
	int64_t until = now_ms() + 10000;
	struct taio_ioc_info info;

	for (;;) {
		proxy_info(proxy, &info);
		if (info.inflight == n)
			return;
		if (now_ms() > until)
			fail_at(THERE(), "%u in flight on the proxy, not %u", info.inflight, n);
		pause_ms(1);
	}
}
