// SPDX-License-Identifier: GPL-2.0
/*
 * The proxy's file: what io_submit(2), read(2), write(2), poll(2) and lseek(2) find behind a proxy descriptor.
 *
 * fs/aio's kiocbs (IOCB_AIO_RW) become operations where they have to wait. All others are passed to the target in
 * the caller's context: synchronous ones, and io_uring's, which asks with IOCB_NOWAIT first and brings a thread
 * of its own where that gives -EAGAIN.
 */
#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <net/sock.h>

#include "compat.h"
#include "counters.h"
#include "proxy.h"
#include "op.h"
#include "policies.h"
#include "transfer.h"
#include "user.h"

static LIST_HEAD(proxies);
static DEFINE_MUTEX(proxies_mutex);

void proxy_for_each(void (*each)(struct taio_proxy *proxy, void *arg), void *arg)
{
	struct taio_proxy *proxy;

	mutex_lock(&proxies_mutex);
	list_for_each_entry(proxy, &proxies, all)
		each(proxy, arg);
	mutex_unlock(&proxies_mutex);
}

/* --- the file's operations --- */

static ssize_t proxy_rw(struct kiocb *iocb, struct iov_iter *iter, int rw)
{
	struct taio_proxy *proxy = iocb->ki_filp->private_data;
	ssize_t res;

	if (!(iocb->ki_flags & IOCB_AIO_RW))
		return transfer_passed(proxy, iocb, iter, rw);
	/* As sock_read_iter() and sock_write_iter(), before anything is kept for it. */
	if (proxy->is_socket && iocb->ki_pos)
		return -ESPIPE;
	if (!proxy->is_file && rw == READ && !iov_iter_count(iter))
		return 0;
	if (transfer_is_nonblock(proxy, iocb) && !proxy->is_file)
		return transfer_nowait(proxy, iocb, iter, rw);
	if (iocb->ki_flags & IOCB_NOWAIT)
		return transfer(proxy->target, iocb, iter, rw, IOCB_NOWAIT);
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

static loff_t proxy_llseek(struct file *file, loff_t offset, int whence)
{
	struct taio_proxy *proxy = file->private_data;
	struct inode *inode = proxy->target->f_mapping->host;

	if (!proxy->is_file || !(proxy->target->f_mode & FMODE_LSEEK))
		return -ESPIPE;
	return generic_file_llseek_size(file, offset, whence, inode->i_sb->s_maxbytes, i_size_read(inode));
}

static long ioctl_cancel(struct taio_proxy *proxy)
{
	struct taio_op *op;
	unsigned long flags;
	long asked = 0;

	spin_lock_irqsave(&proxy->lock, flags);
	list_for_each_entry(op, &proxy->ops, link)
		asked += op_cancel(op);
	spin_unlock_irqrestore(&proxy->lock, flags);
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

static long proxy_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case TAIO_IOC_CANCEL:
		return ioctl_cancel(file->private_data);
	case TAIO_IOC_INFO:
		return ioctl_info(file->private_data, (void __user *)arg);
	}
	return -ENOTTY;
}

/* Leaves the target, which is the caller's until there is a file. */
static void proxy_free(struct taio_proxy *proxy)
{
	if (proxy->nowait)
		fput(proxy->nowait);
	user_put(proxy->user);
	kfree(proxy);
}

/* Nothing is in flight: every kiocb holds the file. */
static int proxy_release(struct inode *inode, struct file *file)
{
	struct taio_proxy *proxy = file->private_data;

	WARN_ON_ONCE(!list_empty(&proxy->ops));
	mutex_lock(&proxies_mutex);
	list_del(&proxy->all);
	mutex_unlock(&proxies_mutex);
	fput(proxy->target);
	proxy_free(proxy);
	count(detached);
	return 0;
}

#define PROXY_FOPS                               \
	.owner = THIS_MODULE,                    \
	.read_iter = proxy_read_iter,            \
	.write_iter = proxy_write_iter,          \
	.llseek = proxy_llseek,                  \
	.unlocked_ioctl = proxy_ioctl,           \
	.compat_ioctl = compat_ptr_ioctl,        \
	.release = proxy_release

static const struct file_operations proxy_fops = {
	PROXY_FOPS,
	.poll = proxy_poll,
};

/* Of a file that is always ready: epoll_ctl(2) tells by the missing poll. */
static const struct file_operations unpolled_fops = {
	PROXY_FOPS,
};

static bool is_proxy(const struct file *file)
{
	return file->f_op == &proxy_fops || file->f_op == &unpolled_fops;
}

/* --- attach --- */

static bool is_unix_socket(struct file *file)
{
	struct socket *sock = sock_from_file(file);

	return sock && sock->sk && sock->sk->sk_family == AF_UNIX;
}

static int target_check(struct file *target)
{
	const struct file_operations *fop = target->f_op;

	if (is_proxy(target))
		return -ELOOP;
	if (S_ISDIR(file_inode(target)->i_mode))
		return -EISDIR;
	if (is_unix_socket(target))
		return -EOPNOTSUPP;
	/* What io_submit(2) cannot read or write the proxy cannot either. */
	if (!(target->f_mode & FMODE_CAN_READ && fop->read_iter) &&
	    !(target->f_mode & FMODE_CAN_WRITE && fop->write_iter))
		return -EINVAL;
	return 0;
}

/* What a caller without the capability may not leave out of the defaults. */
static const struct {
	u32 bit;
	int capability;
} guarded[] = {
	{ TAIO_STATE_CRED, CAP_SYS_ADMIN },
	{ TAIO_STATE_BLKCG, CAP_SYS_ADMIN },
	{ TAIO_STATE_FSIZE, CAP_SYS_RESOURCE },
};

static int state_choose(struct taio_proxy *proxy, const struct taio_ioc_attach *request)
{
	u32 usual = proxy->is_file ? TAIO_STATE_FILE : TAIO_STATE_STREAM;
	int i;

	proxy->state = usual;
	if (!(request->flags & TAIO_ATTACH_STATE))
		return 0;
	for (i = 0; i < ARRAY_SIZE(guarded); i++)
		if (usual & ~request->state & guarded[i].bit && !capable(guarded[i].capability))
			return -EPERM;
	proxy->state = request->state;
	return 0;
}

static struct taio_proxy *proxy_alloc(struct file *target, const struct taio_ioc_attach *request)
{
	umode_t mode = file_inode(target)->i_mode;
	struct taio_proxy *proxy;
	int ret = -ENOMEM;

	proxy = kzalloc(sizeof(*proxy), GFP_KERNEL_ACCOUNT);
	if (!proxy)
		return ERR_PTR(-ENOMEM);
	proxy->is_file = S_ISREG(mode) || S_ISBLK(mode);
	proxy->is_socket = S_ISSOCK(mode);
	proxy->flags = request->flags;
	spin_lock_init(&proxy->lock);
	INIT_LIST_HEAD(&proxy->ops);
	ret = state_choose(proxy, request);
	if (ret)
		goto free_proxy;
	ret = -ENOMEM;
	proxy->user = user_get(current_uid());
	if (!proxy->user)
		goto free_proxy;
	proxy->nowait = compat_nowait_file(target);
	proxy->policy_id = request->policy;
	if (proxy->is_file || !proxy->nowait)
		proxy->policy_id = TAIO_POLICY_BLOCK;
	proxy->policy = policy_get(proxy->policy_id);
	return proxy;
free_proxy:
	kfree(proxy);
	return ERR_PTR(ret);
}

/* What the proxy inherits of its target's modes: whether it has a position, and whether RWF_NOWAIT is understood. */
#define MODES_SHARED (FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE | FMODE_STREAM | FMODE_ATOMIC_POS)

struct file *proxy_create(struct file *target, const struct taio_ioc_attach *request)
{
	struct taio_proxy *proxy;
	struct file *file;
	int ret = target_check(target);

	if (ret)
		return ERR_PTR(ret);
	proxy = proxy_alloc(target, request);
	if (IS_ERR(proxy))
		return ERR_CAST(proxy);
	file = anon_inode_getfile("[taio]", file_can_poll(target) ? &proxy_fops : &unpolled_fops, proxy,
				  target->f_flags & O_ACCMODE);
	if (IS_ERR(file)) {
		proxy_free(proxy);
		return file;
	}
	file->f_mode &= ~MODES_SHARED;
	file->f_mode |= target->f_mode & MODES_SHARED;
	if (proxy->nowait)
		file->f_mode |= FMODE_NOWAIT;
	proxy->target = target;
	mutex_lock(&proxies_mutex);
	list_add_tail(&proxy->all, &proxies);
	mutex_unlock(&proxies_mutex);
	count(attached);
	return file;
}
