/* SPDX-License-Identifier: MIT */
/* Files, users and limits that the cases of kmod_semantics_test share. scratch_close() closes what they leave
 * open. */
#include "semantics.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
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
	const char *dir = getenv("SCRATCH");
	int fd;

	if (!dir)
		fail_at(THERE(), "SCRATCH names no directory");
	fd = fill(SYS(open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)), nbytes);
	SYS(fsync(fd));
	return fd;
}

int slow_device(int flags)
{
	const char *device = getenv("SLOW_DEVICE");

	if (!device)
		fail_at(THERE(), "SLOW_DEVICE names no device");
	return SYS(open(device, flags | O_CLOEXEC));
}

int scratch_udp(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = SYS(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	*addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	SYS(bind(fd, (struct sockaddr *)addr, len));
	SYS(getsockname(fd, (struct sockaddr *)addr, &len));
	return fd;
}

void scratch_pipe(int fds[2])
{
	SYS(pipe2(fds, O_CLOEXEC));
}

void scratch_make(enum scratch_kind kind, int fds[2])
{
	fds[1] = -1;
	switch (kind) {
	case SCRATCH_TCP:
		tcp_pair(fds, 0);
		break;
	case SCRATCH_PIPE:
		scratch_pipe(fds);
		break;
	case SCRATCH_TTY:
		terminal_pair(fds);
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

char *scratch_memory(size_t nbytes)
{
	char *fresh = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(fresh != MAP_FAILED);
	CHECK(madvise(fresh, nbytes, MADV_NOHUGEPAGE) == 0 || errno == EINVAL); /* it has none */
	return fresh;
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

/* Until it stays full: what is written goes on to the other side's buffer in the background. */
static void fill_terminal(int tty)
{
	char buf[1024] = {0};

	SYS(fcntl(tty, F_SETFL, O_NONBLOCK));
	for (int full = 0; full < 60; pause_ms(1))
		full = write(tty, buf, sizeof(buf)) < 0 ? full + 1 : 0;
	while (write(tty, buf, 1) > 0)
		;
	SYS(fcntl(tty, F_SETFL, 0));
}

void jam_start(struct jam *jam)
{
	jam->user_max = param_set("user_max", ARRAY_LEN(jam->ops));
	ring_open(&jam->ring, ARRAY_LEN(jam->ops));
	terminal_pair(jam->full);
	fill_terminal(jam->full[0]);
	terminal_pair(jam->idle);
	write_start(&jam->ring, &jam->ops[0], wrap(jam->full[0], TAIO_POLICY_BLOCK, 0), "x", 1);
	read_start(&jam->ring, &jam->ops[1], wrap(jam->idle[0], TAIO_POLICY_BLOCK, 0), &jam->byte, 1);
	stay_quiet(&jam->ring);
}

void jam_clear(struct jam *jam)
{
	char buf[4096];

	while (!jam->ops[0].events) {
		fd_read_some(jam->full[1], buf, sizeof(buf));
		collect(&jam->ring, 1);
	}
	CHECK_EQ(write(jam->idle[1], "x", 1), 1);
	CHECK_EQ(await(&jam->ring, &jam->ops[1]), 1);
}

void jam_end(struct jam *jam)
{
	ring_close(&jam->ring);
	param_set("user_max", jam->user_max);
}

unsigned int helpers_find(pid_t pids[HELPERS_MAX])
{
	unsigned int n = 0;
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	CHECK(dir);
	while ((entry = readdir(dir)) && n < HELPERS_MAX) {
		char path[300], comm[64] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (!isdigit(*entry->d_name) || !(file = fopen(path, "re")))
			continue;
		if (fgets(comm, sizeof(comm), file) && !strncmp(comm, "taio/", 5))
			pids[n++] = atoi(entry->d_name);
		fclose(file);
	}
	closedir(dir);
	return n;
}

/* --- what is left open --- */

static fd_set fds_before; /* main() */

__attribute__((constructor)) static void remember_fds(void)
{
	for (int fd = 0; fd < FD_SETSIZE; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			FD_SET(fd, &fds_before);
}

static bool is_of_a_link(const struct scene *s, int fd)
{
	for (unsigned int i = 0; i < s->nlinks; i++) {
		const struct link *link = s->links[i];

		if (fd == link->in || fd == link->out || fd == link->afd_in || fd == link->afd_out ||
		    fd == link->peer_in || fd == link->peer_out)
			return true;
	}
	return false;
}

void scratch_close(const struct scene *s)
{
	for (int fd = 0; fd < FD_SETSIZE; fd++)
		if (!FD_ISSET(fd, &fds_before) && !is_of_a_link(s, fd))
			close(fd);
}
