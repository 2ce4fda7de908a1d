/* SPDX-License-Identifier: MIT */
/* Chance, stages and descriptors that are passed on. Used from any thread of a case and from its children. */
#include "kmod.h"

#include <string.h>
#include <sys/socket.h>

#define STAGE_LIMIT_MS 30000

static _Thread_local uint64_t random_state;
static uint64_t seed_given;
static _Atomic uint64_t random_streams;

void random_seed(uint64_t seed)
{
	seed_given = seed;
}

/* xorshift64*, a stream of its own for each thread. */
uint64_t random_below(uint64_t bound)
{
	uint64_t x = random_state;

	if (!x)
		x = (seed_given + atomic_fetch_add(&random_streams, 1) + 1) * 0x9e3779b97f4a7c15u | 1;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	random_state = x;
	return (x * 0x2545f4914f6cdd1du >> 16) % bound;
}

void stage_await_(_Atomic int *stage, int value)
{
	int64_t until = now_ms() + STAGE_LIMIT_MS;

	while (atomic_load(stage) < value) {
		if (now_ms() > until)
			fail_at(THERE(), "stage %d is not reached from %d", value, atomic_load(stage));
		pause_ms(1);
	}
}

void fd_send(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	CHECK_EQ(sendmsg(sock, &msg, 0), 1);
}

int fd_receive(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd;

	CHECK_EQ(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC), 1);
	CHECK(CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}
