// SPDX-License-Identifier: GPL-2.0
/*
 * The list of files that a proxy may stand for. A helper has of its submitter only what the operation carries: not its
 * namespaces, its signals, its terminal, its seccomp filter. So it may touch only files whose read and write ask for
 * nothing else, and of those the ones that have a test. A write to /proc/sys/kernel/hostname sets the name of the
 * writer's UTS namespace, which for a helper is the machine's.
 */
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <linux/net.h>
#include <net/sock.h>

#include "target.h"

/*
 * On a disk or in memory, also where overlayfs shows it: anybody may mount that over anything. procfs, sysfs, cgroupfs
 * and the like are neither; FUSE is whatever its server does.
 */
static bool is_on_file_system(const struct file *target)
{
	const struct super_block *sb = d_real_inode(target->f_path.dentry)->i_sb;

	if (sb->s_magic == TMPFS_MAGIC)
		return true;
	return sb->s_type->fs_flags & FS_REQUIRES_DEV && sb->s_magic != FUSE_SUPER_MAGIC;
}

static bool is_terminal(dev_t device)
{
	unsigned int major = MAJOR(device);

	return major == TTY_MAJOR || major == TTYAUX_MAJOR ||
	       (major >= UNIX98_PTY_MASTER_MAJOR && major < UNIX98_PTY_SLAVE_MAJOR + UNIX98_PTY_MAJOR_COUNT);
}

/*
 * AF_UNIX: a proxy in flight over such a socket would hide others from the collector of descriptors in flight. A raw
 * socket may have these protocols, too.
 */
static bool is_network(const struct sock *sk)
{
	if (sk->sk_family != AF_INET && sk->sk_family != AF_INET6)
		return false;
	return (sk->sk_type == SOCK_STREAM && sk->sk_protocol == IPPROTO_TCP) ||
	       (sk->sk_type == SOCK_DGRAM && sk->sk_protocol == IPPROTO_UDP);
}

static bool is_listed(struct file *target)
{
	const struct inode *inode = file_inode(target);
	struct socket *sock = sock_from_file(target);

	switch (inode->i_mode & S_IFMT) {
	case S_IFREG:
		return is_on_file_system(target);
	case S_IFCHR:
		return is_terminal(inode->i_rdev);
	case S_IFSOCK:
		return sock && sock->sk && is_network(sock->sk);
	case S_IFBLK:
	case S_IFIFO:
		return true;
	default: /* eventfd, signalfd, userfaultfd and other anonymous files */
		return false;
	}
}

int target_check(struct file *target)
{
	const struct file_operations *fop = target->f_op;

	if (S_ISDIR(file_inode(target)->i_mode))
		return -EISDIR;
	if (!(target->f_mode & FMODE_CAN_READ && fop->read_iter) &&
	    !(target->f_mode & FMODE_CAN_WRITE && fop->write_iter))
		return -EINVAL;
	return is_listed(target) ? 0 : -EOPNOTSUPP;
}

bool target_is_where_it_was(const struct file *target)
{
	if (!(target->f_path.dentry->d_flags & DCACHE_OP_REAL && S_ISREG(file_inode(target)->i_mode)))
		return true;
	return is_on_file_system(target);
}
