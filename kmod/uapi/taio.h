/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * /dev/taio: the interface of taio.ko, and its manual.
 *
 * TAIO_IOC_ATTACH on /dev/taio wraps a file in a proxy: a descriptor that stands for the file in stock
 * io_submit(2), io_cancel(2), read(2), write(2) and poll(2). On a proxy IOCB_CMD_PREAD, PWRITE, PREADV and PWRITEV
 * never block io_submit(2), whatever the file is: an operation that has to wait does so in the way that the policy
 * says, and io_cancel(2) ends it: its event comes with -ECANCELED, or with its bytes if it has moved some. Each
 * operation gives exactly one event.
 *
 * The proxy holds the file: closing the file's own descriptor ends nothing while the proxy is open, and closing the
 * proxy ends nothing that is in flight (TAIO_IOC_CANCEL does, and so does the end of the process). fork(2) and
 * SCM_RIGHTS carry a proxy as any descriptor; an operation runs with the memory and the credentials of the task that
 * submitted it, whoever attached the file.
 *
 * Reads of one proxy of a stream transfer in the order in which they were submitted, and so do writes, whoever
 * submits them; a cancelled one leaves the order of the others. Their events come in that order, too, where one
 * io_submit(2) had returned before the next began. With TASK the first in line is carried out by its submitter alone,
 * unless that has to leave it to a helper (see below), and those behind it wait for that task, even if it is stopped.
 * Operations on files go on side by side.
 *
 * O_NONBLOCK keeps its meaning, on the file and on the proxy (fcntl(2)): what would have to wait gives -EAGAIN at
 * once; so does RWF_NOWAIT. A proxy of a regular file has a position of its own, as a second open(2) would;
 * RWF_NOAPPEND does not undo an O_APPEND of the file.
 *
 * A proxy may stand for a TCP or UDP socket of AF_INET or AF_INET6, a pipe or FIFO, a terminal, a block device, and a
 * regular file on a disk, on tmpfs or on overlayfs. Nothing else: what other files do may depend on more of the
 * caller than an operation carries, such as its namespaces. A file of overlayfs that is copied up to a file system
 * that is not on this list gives -EOPNOTSUPP from then on.
 *
 * A write to a stream is whole, as a write(2) that waits is: its event comes when all bytes are written, the stream
 * fails, or the operation is cancelled, and tells how many were written; an error after some bytes is for the next
 * write to tell. O_NONBLOCK and RWF_NOWAIT write what there is room for. A read gives what is there. SO_RCVTIMEO and
 * SO_SNDTIMEO end no operation. No operation raises SIGPIPE: -EPIPE alone tells (a pipe whose last reader goes while
 * TASK or INLINE write to it may). A helper does not raise SIGXFSZ: -EFBIG alone tells. A terminal's job control sees
 * the helper.
 *
 * A buffer may be memory that is not there yet, or never comes: what waits for it is a helper, and io_cancel(2) or
 * the end of the process ends that. Where the submitter itself or a WORKER transfers, only the end of the process does.
 * Who writes to a socket with kernel TLS keeps all others from it meanwhile, even while it waits for the peer to read.
 * What waits for that, by whatever policy but WORKER, is a helper, and io_cancel(2) ends it; there the submitter itself
 * waits for no memory either. O_NONBLOCK and RWF_NOWAIT wait for another writer as write(2) does.
 *
 * Operations that do not come from io_submit(2), such as read(2) and those of io_uring, are passed to the file
 * in the caller's context: they behave there as on the file itself. So do fsync(2), fdatasync(2), IOCB_CMD_FSYNC and
 * IOCB_CMD_FDSYNC; the kernel carries out the last two in a worker, and io_cancel(2) does not end them. A write of no
 * bytes to a file with RWF_DSYNC or RWF_SYNC is fdatasync(2) or fsync(2) as an operation. flock(2) and
 * fcntl(2)'s locks are refused with -EOPNOTSUPP. What else is asked of a file takes a proxy for an anonymous file,
 * some of it without an error, and is for the file's own descriptor: fstat(2), statx(2), ftruncate(2), fallocate(2),
 * mmap(2), sendfile(2) and its like, posix_fadvise(2), syncfs(2), leases, requests of ioctl(2) but those below.
 *
 * Reserved fields must be zero and unknown bits clear: both are -EINVAL.
 */
#ifndef _UAPI_TAIO_H
#define _UAPI_TAIO_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TAIO_DEVICE "/dev/taio"

/*
 * How an operation waits. Regular files, block devices and streams that cannot be asked not to wait (terminals)
 * always wait by BLOCK, or by WORKER where that was asked for: TAIO_IOC_INFO tells.
 *
 * WORKER: threads called taio-worker, which io_submit(2) adds to the calling thread's process when it has none that
 * is idle. They have all that the caller had then, whatever the mask says, but its credentials, which are those of
 * the operation; when the caller changes its nice value, cgroup, affinity or ioprio, it gets others. They count
 * against RLIMIT_NPROC, user_max and helpers_max. One that has been idle for idle_ms ends, and so they do with the
 * process. They are threads of it in all that looks at those: SIGSTOP stops them, and with them what they carry out
 * and what waits behind it; unshare(2) and setns(2) refuse what they refuse to a process with threads; a process
 * whose own threads have all ended goes on until its workers have, and its exit status is 0 then. A cancel
 * interrupts what waits for a stream but not what waits for a disk: that gives its event when the disk answers. A
 * worker that reads from the terminal of a session in the background gives -EIO. Where there is no worker to be
 * had, or one ends before its operation, a helper of BLOCK carries the operation out, with what the mask says.
 */
enum taio_policy_id {
	TAIO_POLICY_BLOCK,	/* a helper thread blocks for it; a signal cancels */
	TAIO_POLICY_PARK,	/* in a queue of the proxy's; when the file wakes, a work item transfers */
	TAIO_POLICY_TASK,	/* likewise; then the submitter transfers, by task work */
	TAIO_POLICY_WORKER,	/* a thread that the kernel adds to the submitter's process blocks for it */
	TAIO_NPOLICIES
};

/* What they are called, in this order: for command lines and traces. */
#define TAIO_POLICY_NAMES "block", "park", "task", "worker"

/* The submitter's state that an operation takes along: a mask. */
#define TAIO_STATE_MM		0x01u		/* address space; cannot be left out */
#define TAIO_STATE_CRED		0x02u		/* credentials; leaving it out wants CAP_SYS_ADMIN */
#define TAIO_STATE_IOCONTEXT	0x04u		/* io_context, and with it ioprio */
#define TAIO_STATE_BLKCG	0x08u		/* block cgroup; leaving it out of a file wants CAP_SYS_ADMIN */
#define TAIO_STATE_FSIZE	0x10u		/* RLIMIT_FSIZE; leaving it out of a file wants CAP_SYS_RESOURCE */
#define TAIO_STATE_FS		0x20u		/* -EOPNOTSUPP: the kernel exports nothing to share fs_struct */
#define TAIO_STATE_FILES	0x40u		/* -EOPNOTSUPP: nor files_struct */
#define TAIO_STATE_MEMCG	0x80u		/* memory cgroup; leaving it out wants CAP_SYS_ADMIN */

/* Defaults by class of file. */
#define TAIO_STATE_STREAM	(TAIO_STATE_MM | TAIO_STATE_CRED | TAIO_STATE_MEMCG)
#define TAIO_STATE_FILE		(TAIO_STATE_STREAM | TAIO_STATE_IOCONTEXT | TAIO_STATE_BLKCG | TAIO_STATE_FSIZE)

/* Flags of TAIO_IOC_ATTACH. */
#define TAIO_ATTACH_INLINE	0x01u		/* try in the submitter first: what need not wait needs no helper */
#define TAIO_ATTACH_STATE	0x02u		/* @state counts; else it must be 0 and the class's default holds */
#define TAIO_ATTACH_CLOEXEC	0x04u		/* FD_CLOEXEC on the proxy */
#define TAIO_ATTACH_COOP	0x08u		/* TASK: do not interrupt the submitter while it runs in user space */

struct taio_ioc_attach {
	__s32 fd;	/* file to wrap; stays the caller's */
	__u32 policy;	/* enum taio_policy_id */
	__u32 flags;	/* TAIO_ATTACH_ */
	__u32 state;	/* TAIO_STATE_ */
	__u64 reserved[2];
};

/* What a proxy is. */
struct taio_ioc_info {
	__u32 policy;	/* in force, which may be BLOCK where another was asked for */
	__u32 flags;
	__u32 state;
	__u32 inflight;	/* operations now */
	__u64 reserved[2];
};

/*
 * TAIO_IOC_ATTACH, on /dev/taio. Returns the proxy's descriptor, opened for reading and writing as the file is.
 *
 * EBADF	no such descriptor, or one of open(2)'s O_PATH
 * EINVAL	unknown policy, flag or state bit; reserved field not zero; @state without TAIO_ATTACH_STATE or without
 *		TAIO_STATE_MM; a file that io_submit(2) could not read or write either (epoll, ...)
 * EISDIR	a directory
 * ELOOP	a proxy
 * EOPNOTSUPP	WORKER, on a kernel that lets no module add threads to a process: before Linux 6.10, or without
 *		CONFIG_VHOST_TASK; a file that is not on the list above, such as an AF_UNIX socket (a proxy would
 *		hide it from the kernel's collector of descriptors in flight); TAIO_STATE_FS, TAIO_STATE_FILES
 * EPERM	a state bit left out that only a privileged caller may leave out
 * EMFILE, ENFILE, ENOMEM, EFAULT
 */
#define TAIO_IOC_ATTACH _IOW(0xf7, 0x60, struct taio_ioc_attach)

/*
 * TAIO_IOC_CANCEL, on a proxy: cancels all that is in flight there, whoever submitted it. Returns how many
 * operations were asked to end; each still gives its event.
 */
#define TAIO_IOC_CANCEL _IO(0xf7, 0x61)

/* TAIO_IOC_INFO, on a proxy. Returns 0. */
#define TAIO_IOC_INFO _IOR(0xf7, 0x62, struct taio_ioc_info)

/*
 * TAIO_IOC_SAME, on a proxy: the argument is a descriptor, not a pointer. Returns 1 if its open file is the one that
 * the proxy stands for, as are those that dup(2) makes of it; else 0. EBADF: no such descriptor.
 */
#define TAIO_IOC_SAME _IO(0xf7, 0x63)

#endif
