// SPDX-License-Identifier: GPL-2.0
/*
 * Passes calls to the target: transfer_file() and transfer_socket() alone do so; the others decide whether it may wait,
 * and on which file. Nothing is kept here: what would have to wait returns -EAGAIN.
 */
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/task_work.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/tcp_states.h>

#include "compat.h"
#include "counters.h"
#include "op_state.h"
#include "proxy.h"
#include "transfer.h"

/* The flags of the caller's kiocb that the target gets to see. */
#define FLAGS_PASSED (IOCB_APPEND | IOCB_DSYNC | IOCB_SYNC)

static ssize_t transfer_file(struct file *target, struct kiocb *from, struct iov_iter *iter, int rw, int ki_flags)
{
	struct kiocb kiocb;
	ssize_t res;

	init_sync_kiocb(&kiocb, target);
	kiocb.ki_pos = from->ki_pos;
	kiocb.ki_flags |= (from->ki_flags & FLAGS_PASSED) | ki_flags;
	kiocb.ki_ioprio = from->ki_ioprio;
	if (rw == READ)
		res = vfs_iocb_iter_read(target, &kiocb, iter);
	/* vfs_iocb_iter_write() returns 0 for it: no datagram is sent, no error told. write(2) calls the socket. */
	else if (!iov_iter_count(iter) && S_ISSOCK(file_inode(target)->i_mode))
		res = target->f_op->write_iter(&kiocb, iter);
	else
		res = compat_iocb_write(target, &kiocb, iter);
	/* Not ki_pos + res: an append starts elsewhere. */
	if (res > 0)
		from->ki_pos = kiocb.ki_pos;
	return res;
}

/*
 * As recv(2) and send(2), whatever carries it out: no SIGPIPE, which would go to a helper, and O_NONBLOCK is looked at
 * when the operation is submitted, not here.
 */
static ssize_t transfer_socket(struct socket *sock, struct iov_iter *iter, int rw, int flags)
{
	struct msghdr msg = {
		.msg_iter = *iter,
		.msg_flags = flags | MSG_NOSIGNAL,
	};

	return rw == READ ? sock_recvmsg(sock, &msg, flags) : sock_sendmsg(sock, &msg);
}

/* RWF_SYNC is RWF_DSYNC and more. */
static bool is_sync_alone(const struct taio_proxy *proxy, const struct kiocb *from, const struct iov_iter *iter, int rw)
{
	return proxy->is_file && rw == WRITE && !iov_iter_count(iter) && from->ki_flags & IOCB_DSYNC;
}

/* A pipe sends SIGPIPE to whoever writes when nobody can read, which a helper ignores and another is spared. */
static bool is_broken(const struct taio_proxy *proxy, int rw)
{
	if (rw == READ || !S_ISFIFO(file_inode(proxy->target)->i_mode))
		return false;
	return vfs_poll(proxy->target, NULL) & EPOLLERR;
}

/* A send without waiting, or a wait for who else sends that a signal has ended. */
static ssize_t nowait_socket(struct socket *sock, struct iov_iter *iter, int rw)
{
	ssize_t res = transfer_socket(sock, iter, rw, MSG_DONTWAIT);

	return op_is_interruption(res) ? -EAGAIN : res;
}

/*
 * Those who send by TLS exclude each other by a lock that one of them holds while it waits for room, or for a page of
 * its user's. The wait for it can be interrupted: so who tries looks as if there were task work to do, and has the lock
 * at once or -EBUSY. The wait for a page of userfaultfd would not sleep either, but begin again and again: so no page
 * is waited for. Nothing else in a send without waiting looks at that.
 */
static ssize_t try_ulp(struct socket *sock, struct iov_iter *iter)
{
	bool had = test_thread_flag(TIF_NOTIFY_SIGNAL);
	ssize_t res;

	iter->nofault = true;
	pagefault_disable();
	set_thread_flag(TIF_NOTIFY_SIGNAL);
	res = transfer_socket(sock, iter, WRITE, MSG_DONTWAIT);
	/* In this order: task work that has come meanwhile found the flag set. */
	clear_notify_signal();
	if (had || task_work_pending(current))
		set_thread_flag(TIF_NOTIFY_SIGNAL);
	pagefault_enable();
	if (res == -EINTR)
		return -EBUSY;
	return res == -EFAULT ? -EINTR : res;
}

static ssize_t try_socket(struct socket *sock, struct iov_iter *iter, int rw)
{
	if (rw == WRITE && inet_csk_has_ulp(sock->sk))
		return try_ulp(sock, iter);
	return nowait_socket(sock, iter, rw);
}

ssize_t transfer_try(struct taio_proxy *proxy, struct kiocb *from, struct iov_iter *iter, int rw)
{
	if (proxy->sock)
		return try_socket(proxy->sock, iter, rw);
	if (iov_iter_count(iter) && is_broken(proxy, rw))
		return -EPIPE;
	return transfer_file(proxy->nowait, from, iter, rw, IOCB_NOWAIT);
}

bool transfer_is_nonblock(const struct taio_proxy *proxy, const struct kiocb *iocb)
{
	return iocb->ki_flags & IOCB_NOWAIT || iocb->ki_filp->f_flags & O_NONBLOCK ||
	       proxy->target->f_flags & O_NONBLOCK;
}

static bool is_ready(const struct taio_proxy *proxy, int rw)
{
	__poll_t events = rw == READ ? EPOLLIN : EPOLLOUT;

	return vfs_poll(proxy->target, NULL) & (events | EPOLLERR | EPOLLHUP);
}

/* A listening socket never polls as ready, but a transfer fails at once instead of waiting. */
static bool is_listening(const struct taio_proxy *proxy)
{
	return proxy->sock && READ_ONCE(proxy->sock->sk->sk_state) == TCP_LISTEN;
}

/* Nor does one that never had a writer, which is at its end; only a named one can be so. */
static bool is_named_fifo(const struct taio_proxy *proxy)
{
	const struct inode *inode = file_inode(proxy->target);

	return S_ISFIFO(inode->i_mode) && inode->i_sb->s_magic != PIPEFS_MAGIC;
}

/* SO_RCVLOWAT: poll(2) waits for as many bytes, but a shorter read only for its own. */
static bool has_enough(const struct taio_proxy *proxy, size_t nbytes)
{
	struct sock *sk = proxy->sock ? proxy->sock->sk : NULL;

	if (!sk || !sk_is_tcp(sk) || nbytes >= READ_ONCE(sk->sk_rcvlowat))
		return false;
	return tcp_inq(sk) >= nbytes;
}

/* Nor does TLS whose peer has changed its key, and a receive fails at once until it gets the new one. */
static bool wants_key(const struct taio_proxy *proxy)
{
	return proxy->sock && sk_is_tcp(proxy->sock->sk) && compat_wants_key(proxy->sock->sk);
}

bool transfer_is_worth_a_try(const struct taio_proxy *proxy, int rw, size_t nbytes)
{
	return rw == WRITE || is_ready(proxy, READ) || is_listening(proxy) || is_named_fifo(proxy) ||
	       has_enough(proxy, nbytes) || wants_key(proxy);
}

bool transfer_is_at_end(const struct taio_proxy *proxy, int rw)
{
	const struct socket *sock = proxy->sock;

	return rw == READ && sock && sock->type == SOCK_DGRAM && READ_ONCE(sock->sk->sk_shutdown) & RCV_SHUTDOWN;
}

/* A target that does not support IOCB_NOWAIT is polled first. */
static ssize_t transfer_polled(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	if (!(proxy->target->f_flags & O_NONBLOCK) && !is_ready(proxy, rw))
		return -EAGAIN;
	return transfer_file(proxy->target, iocb, iter, rw, 0);
}

ssize_t transfer_nowait(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	if (!proxy->nowait)
		return transfer_polled(proxy, iocb, iter, rw);
	if (proxy->is_file)
		return transfer_file(proxy->target, iocb, iter, rw, IOCB_NOWAIT);
	/* As by send(2), which waits for who else sends by TLS. */
	if (proxy->sock)
		return nowait_socket(proxy->sock, iter, rw);
	return transfer_try(proxy, iocb, iter, rw);
}

/*
 * Does a try that meets a page that is not there leave a trace? A receive loses the datagram, or a record of TLS; a
 * send loses the datagrams that were corked before it, and one of TLS would have the page brought; a write to a pipe
 * takes up a page of it for nothing.
 */
static bool leaves_a_trace(const struct taio_proxy *proxy, int rw)
{
	const struct socket *sock = proxy->sock;

	if (!sock)
		return rw == WRITE;
	return sock->type != SOCK_STREAM || inet_csk_has_ulp(sock->sk);
}

/* As much as is looked at and transferred at once, which no datagram exceeds. */
#define PRESENT_MAX 65536

/* Without mmap_lock, which others may hold for as long as they like. */
static bool are_pages_present(unsigned long from, unsigned long to, int rw)
{
	struct page *pages[16];
	int i, n, got;

	for (from &= PAGE_MASK; from < to; from += n * PAGE_SIZE) {
		n = min_t(unsigned long, DIV_ROUND_UP(to - from, PAGE_SIZE), ARRAY_SIZE(pages));
		got = get_user_pages_fast_only(from, n, rw == READ ? FOLL_WRITE : 0, pages);
		for (i = 0; i < got; i++)
			put_page(pages[i]);
		if (got < n)
			return false;
	}
	return true;
}

static bool is_present(const struct iov_iter *iter, int rw)
{
	size_t left = iov_iter_count(iter), offset = iter->iov_offset, len;
	const struct iovec *iov;
	unsigned long from;

	if (iter_is_ubuf(iter)) {
		from = (unsigned long)iter->ubuf + offset;
		return are_pages_present(from, from + left, rw);
	}
	for (iov = compat_iovec(iter); left; iov++) {
		from = (unsigned long)iov->iov_base + offset;
		len = min(left, iov->iov_len - offset);
		if (len && !are_pages_present(from, from + len, rw))
			return false;
		left -= len;
		offset = 0;
	}
	return true;
}

/*
 * Waits for the pages where a transfer would have to take the message first. False: a signal has ended the wait. A page
 * that there will never be is left for the transfer to tell.
 */
static bool bring(const struct iov_iter *iter, int rw)
{
	if (is_present(iter, rw))
		return true;
	if (rw == READ)
		fault_in_iov_iter_writeable(iter, iov_iter_count(iter));
	else
		fault_in_iov_iter_readable(iter, iov_iter_count(iter));
	/* Not by what they return, which kernels of before April 2025 had wrong after the first page. */
	return !signal_pending(current);
}

/* A page that goes away again before the copy, and does not come back until a cancel, costs the message. */
ssize_t transfer_wait(struct taio_proxy *proxy, struct kiocb *from, struct iov_iter *iter, int rw)
{
	if (proxy->sock) {
		if (leaves_a_trace(proxy, rw)) {
			iov_iter_truncate(iter, PRESENT_MAX);
			if (!bring(iter, rw))
				return -EINTR;
		}
		return transfer_socket(proxy->sock, iter, rw, 0);
	}
	if (is_sync_alone(proxy, from, iter, rw))
		return vfs_fsync(proxy->target, !(from->ki_flags & IOCB_SYNC));
	return transfer_file(proxy->target, from, iter, rw, 0);
}

/*
 * A page that goes away between the look and the copy costs a datagram, as a full buffer of the socket does. @nofault
 * is for what pins pages itself, which does not ask pagefault_disabled().
 */
ssize_t transfer_without_faults(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	ssize_t res;

	if (leaves_a_trace(proxy, rw)) {
		iov_iter_truncate(iter, PRESENT_MAX);
		if (!is_present(iter, rw))
			return -EINTR;
	}
	iter->nofault = true;
	pagefault_disable();
	res = transfer_try(proxy, iocb, iter, rw);
	pagefault_enable();
	return res == -EFAULT ? -EINTR : res;
}

/*
 * A read of a file that must not wait gives all that was asked for or -EAGAIN, and then has moved nothing: in a short
 * one only a read that may wait tells the end of the file from the end of the cached pages.
 */
static ssize_t read_cached(struct file *file, struct kiocb *iocb, struct iov_iter *iter)
{
	struct iov_iter copy = *iter;
	loff_t pos = iocb->ki_pos;
	ssize_t res = transfer_file(file, iocb, &copy, READ, IOCB_NOWAIT);

	if (res == -EOPNOTSUPP || (res >= 0 && res < iov_iter_count(iter))) {
		iocb->ki_pos = pos;
		return -EAGAIN;
	}
	return res;
}

/*
 * io_uring asks without waiting first, and has a thread of its own for what returns -EAGAIN. It completes a short read
 * itself on a regular file, but a proxy's is anonymous. Few file systems support the write; the others return errors
 * after which io_uring does not retry.
 */
static ssize_t transfer_asked(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	return rw == READ ? read_cached(proxy->target, iocb, iter) : -EAGAIN;
}

ssize_t transfer_passed(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	count(passed);
	if (transfer_is_nonblock(proxy, iocb) && !proxy->is_file) {
		if (!proxy->nowait)
			return transfer_polled(proxy, iocb, iter, rw);
		return transfer_file(proxy->nowait, iocb, iter, rw, IOCB_NOWAIT);
	}
	if (!is_sync_kiocb(iocb) && iocb->ki_flags & IOCB_NOWAIT && proxy->is_file)
		return transfer_asked(proxy, iocb, iter, rw);
	return transfer_file(proxy->target, iocb, iter, rw, iocb->ki_flags & IOCB_NOWAIT);
}

/*
 * A file is not written here: few file systems can do so without waiting, and half an append cannot be retried. Nor is
 * it read past the page cache: a direct read waits for the device in spite of IOCB_NOWAIT.
 */
static bool may_try(const struct taio_proxy *proxy, int rw)
{
	if (!proxy->nowait)
		return false;
	return !proxy->is_file || (rw == READ && !(proxy->target->f_flags & O_DIRECT));
}

static ssize_t try_stream(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	bool at_end = transfer_is_at_end(proxy, rw);
	struct iov_iter copy = *iter;
	ssize_t res;

	if (!transfer_is_worth_a_try(proxy, rw, iov_iter_count(iter)))
		return -EAGAIN;
	res = transfer_try(proxy, iocb, &copy, rw);
	if (res == -EINTR || res == -EBUSY)
		return -EAGAIN;
	return res == -EAGAIN && at_end ? 0 : res;
}

ssize_t transfer_inline(struct taio_proxy *proxy, struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	ssize_t res;

	if (!may_try(proxy, rw))
		return -EAGAIN;
	res = proxy->is_file ? read_cached(proxy->nowait, iocb, iter) : try_stream(proxy, iocb, iter, rw);
	if (res == -EAGAIN)
		count(inline_missed);
	else
		count(inline_done);
	return res;
}
