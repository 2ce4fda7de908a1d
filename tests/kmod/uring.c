/* SPDX-License-Identifier: MIT */
/* The rings of io_uring are shared with the kernel: their indices are read and published with acquire and
 * release. */
#include "uring.h"

#include "kmod.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES	 8
#define AWAIT_MS 20000

static void *map(struct uring *uring, unsigned int i, size_t nbytes, off_t what)
{
	uring->maps[i] =
		mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, uring->fd, what);
	CHECK(uring->maps[i] != MAP_FAILED);
	uring->map_bytes[i] = nbytes;
	return uring->maps[i];
}

void uring_open(struct uring *uring)
{
	struct io_uring_params params = {0};
	char *sq, *cq;

	uring->fd = SYS(syscall(SYS_io_uring_setup, ENTRIES, &params));
	sq = map(uring, 0, params.sq_off.array + params.sq_entries * sizeof(unsigned int),
		 IORING_OFF_SQ_RING);
	cq = map(uring, 1, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
		 IORING_OFF_CQ_RING);
	uring->sqes = map(uring, 2, params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	uring->sq_tail = (unsigned int *)(sq + params.sq_off.tail);
	uring->sq_mask = (unsigned int *)(sq + params.sq_off.ring_mask);
	uring->sq_array = (unsigned int *)(sq + params.sq_off.array);
	uring->cq_head = (unsigned int *)(cq + params.cq_off.head);
	uring->cq_tail = (unsigned int *)(cq + params.cq_off.tail);
	uring->cq_mask = (unsigned int *)(cq + params.cq_off.ring_mask);
	uring->cqes = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
}

void uring_close(struct uring *uring)
{
	for (unsigned int i = 0; i < ARRAY_LEN(uring->maps); i++)
		SYS(munmap(uring->maps[i], uring->map_bytes[i]));
	fd_close(&uring->fd);
}

static int enter(struct uring *uring, unsigned int nsubmit, unsigned int nwait)
{
	unsigned int flags = nwait ? IORING_ENTER_GETEVENTS : 0;

	return (int)syscall(SYS_io_uring_enter, uring->fd, nsubmit, nwait, flags, NULL, 0);
}

void uring_submit(struct uring *uring, const struct io_uring_sqe *sqe)
{
	unsigned int tail = *uring->sq_tail, slot = tail & *uring->sq_mask;

	uring->sqes[slot] = *sqe;
	uring->sq_array[slot] = slot;
	__atomic_store_n(uring->sq_tail, tail + 1, __ATOMIC_RELEASE);
	CHECK_EQ(enter(uring, 1, 0), 1);
}

static struct io_uring_cqe *cqe_next(struct uring *uring, int timeout_ms)
{
	for (int64_t until = now_ms() + timeout_ms;; pause_ms(1)) {
		unsigned int head = *uring->cq_head;

		if (head != __atomic_load_n(uring->cq_tail, __ATOMIC_ACQUIRE))
			return &uring->cqes[head & *uring->cq_mask];
		if (now_ms() > until)
			return NULL;
		enter(uring, 0, 0); /* runs what the kernel has put off to a call of ours */
	}
}

static struct io_uring_cqe *cqe_await(struct uring *uring)
{
	struct io_uring_cqe *cqe = cqe_next(uring, AWAIT_MS);

	if (!cqe)
		fail_at(THERE(), "io_uring: no completion");
	return cqe;
}

uint64_t uring_peek(struct uring *uring)
{
	return cqe_await(uring)->user_data;
}

long uring_await(struct uring *uring, uint64_t user_data)
{
	struct io_uring_cqe *cqe = cqe_await(uring);
	long res;

	if (cqe->user_data != user_data)
		fail_at(THERE(), "io_uring: completion of request %ju, not %ju", (uintmax_t)cqe->user_data,
			(uintmax_t)user_data);
	res = cqe->res;
	__atomic_store_n(uring->cq_head, *uring->cq_head + 1, __ATOMIC_RELEASE);
	return res;
}

void uring_stay_quiet(struct uring *uring)
{
	struct io_uring_cqe *cqe = cqe_next(uring, 10);

	if (cqe)
		fail_at(THERE(), "io_uring: a completion where there should be none: %d", cqe->res);
}
