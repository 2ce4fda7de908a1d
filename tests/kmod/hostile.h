/* SPDX-License-Identifier: MIT */
/*
 * kmod_hostile_test: what a user of group taio, with no privilege and in namespaces of its own, can do to
 * others. Alice is that user. The measure is what she can do without the module: by read(2), write(2) and
 * stock io_submit(2) on the files themselves. Of others nobody is hindered, nothing of the machine is
 * changed, and what alice leaves behind goes away.
 */
#ifndef TAIO_TESTS_HOSTILE_H
#define TAIO_TESTS_HOSTILE_H

#include "semantics.h"

enum { ALICE = 1000, BOB = 1001, CAROL = 1003 };

/* --- hostile.c: users, and what they see of each other --- */

/* The calling process becomes @uid, of group taio, without capabilities, and may write its /proc files. */
void become_member(uid_t uid);
/* The calling process enters a user namespace, in which it is root, and those of @flags (CLONE_NEW...). */
void enter_namespaces(int flags);
/* Writes a file of /proc or /sys, or fails the case. */
void put_text(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Does the submitter transfer itself, so that it is what sleeps in a transfer? */
bool is_in_submitter(const struct scene *s);

/*
 * Begins and ends an attack several times. In between and meanwhile bob sends bytes to himself through
 * proxies of each policy, and carol cancels waiting operations. Fails the case if bob's median trip by any
 * policy takes more than twice as long beside the attack as without it, or if a cancel of carol's takes
 * seconds.
 */
void hurts_nobody_(void (*begin)(void *arg), void (*end)(void *arg), void *arg);
#define hurts_nobody(begin, end, arg) (HERE(), hurts_nobody_(begin, end, arg))

/* Operations that somebody carries out now. */
unsigned int ops_running(void);
/* Until they are @n or more, or the case fails. */
void until_running_(unsigned int n);
#define until_running(n) (HERE(), until_running_(n))
/* No task sleeps in state D, within @limit_ms, or the case fails and prints which. */
void no_task_in_d_(int limit_ms);
#define no_task_in_d(limit_ms) (HERE(), no_task_in_d_(limit_ms))
/* Until the task sleeps in state D, or the case fails. */
void until_in_d_(pid_t tid);
#define until_in_d(tid) (HERE(), until_in_d_(tid))
/* The process is over: it has ended, or is a zombie. Waits at most @limit_ms. */
bool is_over(pid_t pid, int limit_ms);

/* --- hostile_memory.c: memory that does not arrive --- */

/* Pages behind a userfaultfd that nobody serves, of the calling process; its descriptor is in *uffd. */
char *uffd_pages(size_t npages, int *uffd);
/* Until @n faults on them have come, or the case fails. */
void uffd_await(int uffd, unsigned int n);
/* Lets users have userfaultfds that hold up the kernel, too; returns what was so before. */
long uffd_allow(long allowed);

/* Called by root: there is FUSE, and every user may serve a file system, as where udev has set it up. */
void fuse_allow(void);

/* A FUSE file system whose server gives everything but data. In memory that the processes of a case share. */
struct fuse {
	_Atomic int reads; /* that are not answered */
	pid_t server;	   /* set before fuse_pages() returns */
};

/* What a task does that is killed while it waits for data. */
enum fuse_mode {
	FUSE_BACKGROUND, /* the kernel reads ahead in the background: it ends */
	FUSE_FOREGROUND, /* it has to wait for the server, as with read(2) of the file */
};

/* Pages of its file. It is mounted in the caller's namespaces; the server outlives the caller. */
char *fuse_pages(struct fuse *fuse, enum fuse_mode mode, size_t npages);

#endif
