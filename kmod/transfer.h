/* SPDX-License-Identifier: GPL-2.0 */
/* Transfers: calls passed to the target of a proxy, in whoever calls. Each returns bytes or -errno. */
#ifndef TAIO_TRANSFER_H
#define TAIO_TRANSFER_H

#include <linux/types.h>

struct file;
struct iov_iter;
struct kiocb;
struct taio_proxy;

/* An operation's, which may wait. Advances the position of @from by what it transferred; leaves @iter anywhere. */
ssize_t transfer_wait(struct taio_proxy *proxy, struct kiocb *from, struct iov_iter *iter, int rw);

/*
 * An operation's on a stream with @nowait: returns -EAGAIN if it would have to wait for the file. -EBUSY: nothing was
 * transferred, because somebody else has a lock of the file's, perhaps for long. -EINTR: likewise, because a page is
 * not there for a socket that has such a lock; only who may wait can tell more.
 */
ssize_t transfer_try(struct taio_proxy *proxy, struct kiocb *from, struct iov_iter *iter, int rw);

/* Does @iocb, its file or the target ask not to wait? */
bool transfer_is_nonblock(const struct taio_proxy *proxy, const struct kiocb *iocb);

/*
 * False: a read would find nothing. Asks the file, which is cheap compared with a read in vain: the response to what
 * was just written is seldom there yet.
 */
bool transfer_is_worth_a_try(const struct taio_proxy *proxy, int rw, size_t nbytes);

/*
 * Asked before a try without waiting: would -EAGAIN of it be the end of input? A socket of datagrams that is shut for
 * reading says so for ever, but 0 to a receive that may wait.
 */
bool transfer_is_at_end(const struct taio_proxy *proxy, int rw);

/* fs/aio's that asks not to wait: -EAGAIN if it would have to. */
ssize_t transfer_nowait(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw);

/* The same in the submitter's address space without page faults. -EINTR: or a page is not there, or never will be. */
ssize_t transfer_without_faults(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw);

/* For callers other than fs/aio: behaves as a call on the target itself. */
ssize_t transfer_passed(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw);

/* TAIO_ATTACH_INLINE: -EAGAIN if the operation has to be kept; @iter and the position are then unchanged. */
ssize_t transfer_inline(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw);

#endif
