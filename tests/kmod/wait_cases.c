/* SPDX-License-Identifier: MIT */
/* Files that wait in ways of their own: one that is ready without data. */
#include "semantics.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Leaves a message in the socket's error queue that nobody reads: poll(2) says POLLERR from then on. */
static void error_queue(int fd)
{
	struct pollfd pfd = {.fd = fd};
	struct sockaddr_in nobody;
	socklen_t len = sizeof(int);
	int on = 1, error;

	close(scratch_udp(&nobody));
	SYS(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)));
	SYS(connect(fd, (struct sockaddr *)&nobody, sizeof(nobody)));
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(poll(&pfd, 1, 10000), 1);
	SYS(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	CHECK_EQ(error, ECONNREFUSED);
	CHECK_EQ(poll(&pfd, 1, 0), 1);
	CHECK_EQ(pfd.revents & POLLERR, POLLERR);
}

/* A file that is ready without data is waited for, and not tried again before it wakes. */
TEST_CASE(spurious_readiness_is_no_reason_to_try, ON(NONE))
{
	struct sockaddr_in ours, theirs;
	int fd = scratch_udp(&ours), peer = scratch_udp(&theirs), proxy;
	uint64_t spurious;
	struct op op;
	char byte;

	error_queue(fd);
	SYS(connect(fd, (struct sockaddr *)&theirs, sizeof(theirs)));
	proxy = proxy_make(s, fd);
	scene_ring(s, 1);
	read_start(&s->ring, &op, proxy, &byte, 1);
	spurious = counter_get("spurious_wakeups");
	pause_ms(500);
	spurious = counter_get("spurious_wakeups") - spurious;
	note("%ju spurious wake-ups in half a second", (uintmax_t)spurious);
	CHECK(spurious <= 1);
	SYS(sendto(peer, "x", 1, 0, (struct sockaddr *)&ours, sizeof(ours)));
	CHECK_EQ(await(&s->ring, &op), 1);

	read_start(&s->ring, &op, proxy, &byte, 1);
	stay_quiet(&s->ring);
	CHECK_EQ(op_cancel(&s->ring, &op), 0);
	CHECK_EQ(await(&s->ring, &op), -ECANCELED);
	close(proxy);
	close(peer);
	close(fd);
}

/* ioctl(2) as a program of 32 bits calls it: @arg lies below 4 GiB. Returns -errno. */
static int ioctl32(int fd, unsigned int request, void *arg)
{
	int ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(54), "b"(fd), "c"(request), "d"((uint32_t)(uintptr_t)arg)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	return ret;
}

TEST_CASE(ioctls_of_32_bit_programs, ON(NONE), AS(CASE_ONCE))
{
	int device = SYS(open(TAIO_DEVICE, O_RDWR | O_CLOEXEC)), fds[2], proxy;
	void *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct taio_ioc_attach *attach = low;
	struct taio_ioc_info *info = low;

	CHECK(low != MAP_FAILED);
	SYS(pipe(fds));
	*attach = (struct taio_ioc_attach){
		.fd = fds[0], .policy = TAIO_POLICY_PARK, .flags = TAIO_ATTACH_CLOEXEC};
	proxy = ioctl32(device, TAIO_IOC_ATTACH, attach);
	CHECK(proxy >= 0);
	CHECK_EQ(ioctl32(proxy, TAIO_IOC_INFO, info), 0);
	CHECK_EQ(info->policy, TAIO_POLICY_PARK);
	CHECK_EQ(ioctl32(proxy, TAIO_IOC_CANCEL, NULL), 0);
	attach->reserved[0] = 1;
	CHECK_EQ(ioctl32(device, TAIO_IOC_ATTACH, attach), -EINVAL);
	close(proxy);
	close(fds[0]);
	close(fds[1]);
	close(device);
	munmap(low, 4096);
}
