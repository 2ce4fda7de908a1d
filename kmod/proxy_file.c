// SPDX-License-Identifier: GPL-2.0
/*
 * The proxy's file: what io_submit(2), read(2), write(2), poll(2) and lseek(2) find behind a proxy descriptor.
 *
 * fs/aio's kiocbs (IOCB_AIO_RW) become operations if they have to wait. All others are passed to the target in the
 * caller's context: synchronous ones, and those of io_uring, which tries with IOCB_NOWAIT first and uses a thread of
 * its own if that returns -EAGAIN.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "counters.h"
#include "op.h"
#include "op_life.h"
#include "policies.h"
#include "proxy.h"
#include "proxy_file.h"
#include "queue.h"
#include "target.h"
#include "transfer.h"

static ssize_t proxy_rw(struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	struct taio_proxy *proxy = iocb->ki_filp->private_data;
	ssize_t res;

	if (!(iocb->ki_flags & IOCB_AIO_RW))
		return transfer_passed(proxy, iocb, iter, rw);
	if (proxy->is_file && !target_is_where_it_was(proxy->target))
		return -EOPNOTSUPP;
	/* As in sock_read_iter() and sock_write_iter(), but before an operation is made. */
	if (proxy->sock && iocb->ki_pos)
		return -ESPIPE;
	if (!proxy->is_file && rw == READ && !iov_iter_count(iter))
		return 0;
	if (transfer_is_nonblock(proxy, iocb) && !proxy->is_file)
		return queue_try(&proxy->queues[rw], iocb, iter);
	if (!proxy->is_file)
		return queue_submit(&proxy->queues[rw], iocb, iter);
	if (iocb->ki_flags & IOCB_NOWAIT)
		return transfer_nowait(proxy, iocb, iter, rw);
	if (proxy->flags & TAIO_ATTACH_INLINE) {
		res = transfer_inline(proxy, iocb, iter, rw);
		if (res != -EAGAIN)
			return res;
	}
	return op_submit(proxy, iocb, iter, rw);
}

static ssize_t proxy_read_iter(struct kiocb *iocb, struct iov_iter *iter)
{
	return proxy_rw(iocb, iter, READ);
}

static ssize_t proxy_write_iter(struct kiocb *iocb, struct iov_iter *iter)
{
	return proxy_rw(iocb, iter, WRITE);
}

static __poll_t proxy_poll(struct file *file, struct poll_table_struct *table)
{
	struct taio_proxy *proxy = file->private_data;

	return vfs_poll(proxy->target, table);
}

/* For fsync(2), and for IOCB_CMD_FSYNC, which fs/aio calls it for from a worker of its own. */
static int proxy_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	struct taio_proxy *proxy = file->private_data;

	return vfs_fsync_range(proxy->target, start, end, datasync);
}

/* Without this the lock would be on an inode that all anonymous files share. */
static int proxy_lock(struct file *file, int cmd, struct file_lock *lock)
{
	return -EOPNOTSUPP;
}

static loff_t proxy_llseek(struct file *file, loff_t offset, int whence)
{
	struct taio_proxy *proxy = file->private_data;
	struct inode *inode = proxy->target->f_mapping->host;

	if (!proxy->is_file || !(proxy->target->f_mode & FMODE_LSEEK))
		return -ESPIPE;
	return generic_file_llseek_size(file, offset, whence, inode->i_sb->s_maxbytes, i_size_read(inode));
}

/* How many operations are looked at before interrupts and others get their turn. */
#define CANCELS_AT_ONCE 64

/* What is looked at goes last in the list, and what is submitted meanwhile is behind it: it may be asked as well. */
static long ioctl_cancel(struct taio_proxy *proxy)
{
	unsigned int left = READ_ONCE(proxy->nops), i;
	struct taio_op *op;
	long asked = 0;

	while (left) {
		spin_lock_irq(&proxy->lock);
		for (i = 0; i < CANCELS_AT_ONCE && left && !list_empty(&proxy->ops); i++, left--) {
			op = list_first_entry(&proxy->ops, struct taio_op, link);
			list_move_tail(&op->link, &proxy->ops);
			asked += op_cancel(op);
		}
		if (list_empty(&proxy->ops))
			left = 0;
		spin_unlock_irq(&proxy->lock);
		cond_resched();
	}
	return asked;
}

static long ioctl_info(struct taio_proxy *proxy, void __user *to)
{
	struct taio_ioc_info info = {
		.policy = proxy->policy_id,
		.flags = proxy->flags,
		.state = proxy->state,
		.inflight = READ_ONCE(proxy->nops),
	};

	return copy_to_user(to, &info, sizeof(info)) ? -EFAULT : 0;
}

static long ioctl_same(const struct taio_proxy *proxy, unsigned int fd)
{
	struct file *file = fget(fd);
	long same = file == proxy->target;

	if (!file)
		return -EBADF;
	fput(file);
	return same;
}

static long proxy_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case TAIO_IOC_CANCEL:
		return ioctl_cancel(file->private_data);
	case TAIO_IOC_INFO:
		return ioctl_info(file->private_data, (void __user *)arg);
	case TAIO_IOC_SAME:
		return ioctl_same(file->private_data, arg);
	}
	return -ENOTTY;
}

static void proxy_close(struct taio_proxy *proxy)
{
	WARN_ON_ONCE(!list_empty(&proxy->ops));
	queues_end(proxy);
	proxy_let_go(proxy);
	proxy_put(proxy);
}

/* Nothing is in flight: every kiocb holds the file. */
static int proxy_release(struct inode *inode, struct file *file)
{
	struct taio_proxy *proxy = file->private_data;

	proxy_unlist(proxy);
	proxy_close(proxy);
	count(detached);
	return 0;
}

#define PROXY_FOPS                               \
	.owner = THIS_MODULE,                    \
	.read_iter = proxy_read_iter,            \
	.write_iter = proxy_write_iter,          \
	.llseek = proxy_llseek,                  \
	.lock = proxy_lock,                      \
	.flock = proxy_lock,                     \
	.unlocked_ioctl = proxy_ioctl,           \
	.compat_ioctl = compat_ptr_ioctl,        \
	.release = proxy_release

static const struct file_operations proxy_fops = {
	PROXY_FOPS,
	.poll = proxy_poll,
};

/* For a file that is always ready: epoll_ctl(2) recognises it by the missing poll. */
static const struct file_operations unpolled_fops = {
	PROXY_FOPS,
	.fsync = proxy_fsync,
};

static bool is_proxy(const struct file *file)
{
	return file->f_op == &proxy_fops || file->f_op == &unpolled_fops;
}

/* --- attach --- */

/* The modes that the proxy inherits from its target: they say what position it has. */
#define MODES_SHARED (FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE | FMODE_STREAM | FMODE_ATOMIC_POS)

struct file *proxy_file_create(struct file *target, const struct taio_ioc_attach *request)
{
	struct taio_proxy *proxy;
	struct file *file;
	int ret;

	if (is_proxy(target))
		return ERR_PTR(-ELOOP);
	proxy = proxy_create(target, request);
	if (IS_ERR(proxy))
		return ERR_CAST(proxy);
	proxy->policy = policy_get(proxy->policy_id);
	queues_init(proxy);
	ret = queues_hook(proxy);
	if (ret) {
		proxy_close(proxy);
		return ERR_PTR(ret);
	}
	file = anon_inode_getfile("[taio]", file_can_poll(target) ? &proxy_fops : &unpolled_fops, proxy,
				  target->f_flags & O_ACCMODE);
	if (IS_ERR(file)) {
		proxy_close(proxy);
		return file;
	}
	file->f_mode &= ~MODES_SHARED;
	file->f_mode |= target->f_mode & MODES_SHARED;
	if (proxy->nowait)
		file->f_mode |= FMODE_NOWAIT;
	proxy_list(proxy);
	count(attached);
	return file;
}
