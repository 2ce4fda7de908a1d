// SPDX-License-Identifier: GPL-2.0
/* The table of accounts by kuid. Process context; the accounts themselves belong to helpers.c. */
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/user_namespace.h>

#include "user.h"

static DEFINE_HASHTABLE(users, 6);
static DEFINE_SPINLOCK(users_lock);

static struct taio_user *find(kuid_t uid)
{
	struct taio_user *user;

	hash_for_each_possible(users, user, node, __kuid_val(uid))
		if (uid_eq(user->uid, uid))
			return user_hold(user);
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

	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return NULL;
	fresh->uid = uid;
	refcount_set(&fresh->refs, 1);
	INIT_LIST_HEAD(&fresh->queue[READ]);
	INIT_LIST_HEAD(&fresh->queue[WRITE]);
	INIT_LIST_HEAD(&fresh->ready);

	spin_lock(&users_lock);
	user = find(uid);
	if (!user)
		hash_add(users, &fresh->node, __kuid_val(uid));
	spin_unlock(&users_lock);
	if (!user)
		return fresh;
	kfree(fresh);
	return user;
}

struct taio_user *user_hold(struct taio_user *user)
{
	refcount_inc(&user->refs);
	return user;
}

/* Drops the last reference under the lock, so that find() never sees an account without one. */
void user_put(struct taio_user *user)
{
	bool last;

	if (refcount_dec_not_one(&user->refs))
		return;
	spin_lock(&users_lock);
	last = refcount_dec_and_test(&user->refs);
	if (last)
		hash_del(&user->node);
	spin_unlock(&users_lock);
	if (!last)
		return;
	WARN_ON_ONCE(user->busy[READ] || user->busy[WRITE]);
	kfree(user);
}
