/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many helpers a user may have: one account for each kuid, shared by everything it has attached or in flight. In a
 * user namespace that a user has made, everybody counts as that user: it gives further uids, but no further account.
 * Where root has made it, as for containers of several tenants, each uid counts by itself.
 */
#ifndef TAIO_USER_H
#define TAIO_USER_H

#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>

struct taio_user {
	struct hlist_node node;		/* in the table; its lock */
	refcount_t refs;		/* 0: idle, and in the table for a while yet */
	kuid_t uid;
	struct list_head idle;		/* in the list of those without a reference, or empty; the table's lock */

	unsigned int workers;		/* that have not ended; the lock of workers.c */

	/* The pool's, under pool.idle.lock; see helpers.c. By READ and WRITE. */
	unsigned int busy[2];		/* operations that have a helper, or will get the next one */
	struct list_head queue[2];	/* operations that wait until the user has room */
	struct list_head ready;		/* in the pool's list of users with a queue, or empty */

	/*
	 * For the queues of his proxies. They sleep on no memory of a user's, but on locks that a task of his may hold
	 * while it does (of a pipe, of a socket): then only his own operations wait.
	 */
	struct workqueue_struct *works;
	struct delayed_work end;	/* some time after the last reference */
};

/* Whose account counts for current. Any context. */
kuid_t user_of_current(void);
/* The account of @uid, with a reference; NULL without memory. May sleep. */
struct taio_user *user_get(kuid_t uid);
/* Another reference to an account; the caller holds one. */
struct taio_user *user_hold(struct taio_user *user);
void user_put(struct taio_user *user);

int users_create(void);
/* No account has a reference left. */
void users_destroy(void);

#endif
