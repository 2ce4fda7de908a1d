/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between kernels, by feature. The only place with version tests; each function says what the rest of the
 * module may rely on.
 */
#ifndef TAIO_COMPAT_H
#define TAIO_COMPAT_H

#include <linux/blk-cgroup.h>
#include <linux/cgroup.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/uio.h>
#include <linux/version.h>

/*
 * Threads that a module makes of current: they belong to its process, and tell the module when they are killed. The
 * kernel exports them for vhost, in this form since 6.10.
 */
#if IS_ENABLED(CONFIG_VHOST_TASK) && LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#include <linux/sched/vhost_task.h>
#define COMPAT_HAS_THREADS true
#else
#define COMPAT_HAS_THREADS false
struct vhost_task;
static inline struct vhost_task *vhost_task_create(bool (*fn)(void *arg), void (*killed)(void *arg), void *arg,
						   const char *name)
{
	return NULL;
}

static inline void vhost_task_start(struct vhost_task *thread)
{
}

static inline void vhost_task_stop(struct vhost_task *thread)
{
}
#endif

/* NULL: the kernel refuses it. Some kernels say why. */
static inline struct vhost_task *compat_thread_create(bool (*fn)(void *arg), void (*killed)(void *arg), void *arg,
						      const char *name)
{
	struct vhost_task *thread = vhost_task_create(fn, killed, arg, name);

	return IS_ERR(thread) ? NULL : thread;
}

/* Whether kernel TLS has seen its peer change keys and waits for the new one; the kernel can take one since 6.14. */
#if IS_ENABLED(CONFIG_TLS) && LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
#include <net/tls.h>
static inline bool compat_wants_key(const struct sock *sk)
{
	const struct tcp_ulp_ops *ulp = READ_ONCE(inet_csk(sk)->icsk_ulp_ops);
	const struct tls_context *ctx;

	if (!ulp || strcmp(ulp->name, "tls"))
		return false;
	ctx = tls_get_ctx(sk);
	/* Not before it has keys to receive with. It stays as long as the socket does. */
	return ctx && (ctx->rx_conf == TLS_SW || ctx->rx_conf == TLS_HW) &&
	       READ_ONCE(tls_sw_ctx_rx(ctx)->key_update_pending);
}
#else
struct sock;
static inline bool compat_wants_key(const struct sock *sk)
{
	return false;
}
#endif

/* Pipes honour IOCB_NOWAIT, and show it by FMODE_NOWAIT, since 6.4. Sockets honour it on every kernel. */
static inline bool compat_honours_nowait(struct file *file)
{
	return S_ISSOCK(file_inode(file)->i_mode) || file->f_mode & FMODE_NOWAIT;
}

/*
 * The file to use for transfers of @target that must not wait, with a reference: @target itself, or a pipe that does
 * not honour IOCB_NOWAIT, opened a second time with O_NONBLOCK. NULL: there is no such file.
 */
static inline struct file *compat_nowait_file(struct file *target)
{
	int flags = (target->f_flags & O_ACCMODE) | O_NONBLOCK;
	struct file *file;

	if (compat_honours_nowait(target))
		return get_file(target);
	if (!S_ISFIFO(file_inode(target)->i_mode))
		return NULL;
	file = dentry_open(&target->f_path, flags, target->f_cred);
	if (IS_ERR(file))
		return NULL;
	/* For a pipe it means packets; dentry_open() would look for a file system capable of direct I/O. */
	file->f_flags |= target->f_flags & O_DIRECT;
	return file;
}

/* vfs_iocb_iter_write() that holds off a freeze of the file system, as the kernel's own does since 6.8. */
static inline ssize_t compat_iocb_write(struct file *file, struct kiocb *iocb, struct iov_iter *iter)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	ssize_t ret;

	file_start_write(file);
	ret = vfs_iocb_iter_write(file, iocb, iter);
	file_end_write(file);
	return ret;
#else
	return vfs_iocb_iter_write(file, iocb, iter);
#endif
}

/* The segments of @iter, which is an iovec, from the present one on. */
static inline const struct iovec *compat_iovec(const struct iov_iter *iter)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	return iter->iov;
#else
	return iter_iov(iter);
#endif
}

/* The block cgroup that current's I/O is charged to, with a reference; NULL without CONFIG_BLK_CGROUP. */
static inline struct cgroup_subsys_state *compat_current_blkcg_get(void)
{
#ifdef CONFIG_BLK_CGROUP
	return task_get_css(current, io_cgrp_id);
#else
	return NULL;
#endif
}

static inline void compat_blkcg_put(struct cgroup_subsys_state *css)
{
#ifdef CONFIG_BLK_CGROUP
	css_put(css);
#endif
}

#endif
