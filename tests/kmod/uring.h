/* SPDX-License-Identifier: MIT */
/* io_uring by its system calls, as much of it as the cases need: one thread, a few entries. */
#ifndef TAIO_TESTS_KMOD_URING_H
#define TAIO_TESTS_KMOD_URING_H

#include <linux/io_uring.h>
#include <stddef.h>
#include <stdint.h>

struct uring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	void *maps[3];
	size_t map_bytes[3];
};

void uring_open(struct uring *uring);
void uring_close(struct uring *uring);
/* Submits one request; the rest of @sqe is the caller's. */
void uring_submit(struct uring *uring, const struct io_uring_sqe *sqe);
/* The result of request @user_data, whose completion is the next, or fails the case after a time. */
long uring_await(struct uring *uring, uint64_t user_data);
/* user_data of the next completion, which is not taken; likewise. */
uint64_t uring_peek(struct uring *uring);
/* No completion comes within a short while. */
void uring_stay_quiet(struct uring *uring);

#endif
