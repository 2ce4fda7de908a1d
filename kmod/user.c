// SPDX-License-Identifier: GPL-2.0
/* The table of accounts by kuid. Process context; the accounts themselves belong to helpers.c. */
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/user_namespace.h>

#include "counters.h"
#include "user.h"

static DEFINE_HASHTABLE(users, 6);
static LIST_HEAD(idle);		    /* without a reference, the oldest first */
static unsigned int nidle;
static DEFINE_SPINLOCK(users_lock); /* all above, and @refs from 0 and to 0 */
static struct workqueue_struct *enders;

/* Of one user at once. */
#define WORKS_MAX 32

/* How long an account without a reference is kept: whoever attaches and closes again and again finds it. */
#define IDLE_TIME (5 * HZ)

/* And how many of them: each has a workqueue, and a user with many uids might leave as many accounts. */
#define IDLE_MAX 64

static void destroy(struct taio_user *user)
{
	count(users_freed);
	destroy_workqueue(user->works);
	kfree(user);
}

/* Under users_lock. */
static void leave_idle(struct taio_user *user)
{
	if (list_empty(&user->idle))
		return;
	list_del_init(&user->idle);
	nidle--;
}

/* Under users_lock: the last reference is gone. */
static void enter_idle(struct taio_user *user)
{
	struct taio_user *oldest;

	list_add_tail(&user->idle, &idle);
	mod_delayed_work(enders, &user->end, IDLE_TIME);
	if (++nidle <= IDLE_MAX)
		return;
	oldest = list_first_entry(&idle, struct taio_user, idle);
	leave_idle(oldest);
	mod_delayed_work(enders, &oldest->end, 0);
}

/* A work item: the last reference may be dropped by one of those that destroy() waits for. */
static void end(struct work_struct *work)
{
	struct taio_user *user = container_of(to_delayed_work(work), struct taio_user, end);
	bool ends;

	spin_lock(&users_lock);
	/* Pending: it has been found and dropped since, and this runs again. */
	ends = !refcount_read(&user->refs) && !delayed_work_pending(&user->end);
	if (ends) {
		hash_del(&user->node);
		leave_idle(user);
	}
	spin_unlock(&users_lock);
	if (ends)
		destroy(user);
}

static struct taio_user *create(kuid_t uid)
{
	struct taio_user *user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);

	if (!user)
		return NULL;
	user->works = alloc_workqueue("taio-%u", WQ_UNBOUND, WORKS_MAX, __kuid_val(uid));
	if (!user->works) {
		kfree(user);
		return NULL;
	}
	count(users_made);
	user->uid = uid;
	refcount_set(&user->refs, 1);
	INIT_LIST_HEAD(&user->queue[READ]);
	INIT_LIST_HEAD(&user->queue[WRITE]);
	INIT_LIST_HEAD(&user->ready);
	INIT_LIST_HEAD(&user->idle);
	INIT_DELAYED_WORK(&user->end, end);
	return user;
}

/* Under users_lock. */
static struct taio_user *find(kuid_t uid)
{
	struct taio_user *user;

	hash_for_each_possible(users, user, node, __kuid_val(uid)) {
		if (!uid_eq(user->uid, uid))
			continue;
		if (!refcount_inc_not_zero(&user->refs)) {
			refcount_set(&user->refs, 1);
			leave_idle(user);
		}
		return user;
	}
	return NULL;
}

/* From the inside out: the outermost that root has not made decides. */
kuid_t user_of_current(void)
{
	const struct user_namespace *ns;
	kuid_t uid = current_uid();

	for (ns = current_user_ns(); ns->parent; ns = ns->parent)
		if (!uid_eq(ns->owner, GLOBAL_ROOT_UID))
			uid = ns->owner;
	return uid;
}

struct taio_user *user_get(kuid_t uid)
{
	struct taio_user *user, *fresh;

	spin_lock(&users_lock);
	user = find(uid);
	spin_unlock(&users_lock);
	if (user)
		return user;

	fresh = create(uid);
	if (!fresh)
		return NULL;

	spin_lock(&users_lock);
	user = find(uid);
	if (!user)
		hash_add(users, &fresh->node, __kuid_val(uid));
	spin_unlock(&users_lock);
	if (!user)
		return fresh;
	destroy(fresh);
	return user;
}

struct taio_user *user_hold(struct taio_user *user)
{
	refcount_inc(&user->refs);
	return user;
}

/* Drops the last reference under the lock, so that find() may revive the account. */
void user_put(struct taio_user *user)
{
	if (refcount_dec_not_one(&user->refs))
		return;
	spin_lock(&users_lock);
	if (refcount_dec_and_test(&user->refs)) {
		WARN_ON_ONCE(user->busy[READ] || user->busy[WRITE]);
		enter_idle(user);
	}
	spin_unlock(&users_lock);
}

int users_create(void)
{
	enders = alloc_workqueue("taio-users", WQ_UNBOUND, 0);
	return enders ? 0 : -ENOMEM;
}

void users_destroy(void)
{
	struct taio_user *user;
	int bucket;

	spin_lock(&users_lock);
	hash_for_each(users, bucket, user, node)
		mod_delayed_work(enders, &user->end, 0);
	spin_unlock(&users_lock);
	destroy_workqueue(enders);
	WARN_ON_ONCE(!hash_empty(users));
}
