/* SPDX-License-Identifier: MIT */
#include "group.h"

#include <assert.h>
#include <stdlib.h>

struct conn_group *conn_group_create(struct shard *shard, const struct limits *limits)
{
	struct conn_group *group = calloc(1, sizeof(*group));

	if (!group)
		return NULL;
	group->limits = *limits;
	group->refs = 1;
	for (int class = 0; class < DEADLINE_NCLASSES; class ++)
		TAILQ_INIT(&group->deadlines[class]);
	LIST_INSERT_HEAD(&shard->groups, group, link);
	return group;
}

struct conn_group *conn_group_get(struct conn_group *group)
{
	group->refs++;
	return group;
}

void conn_group_put(struct conn_group *group)
{
	assert(group->refs > 0);
	if (--group->refs)
		return;
	LIST_REMOVE(group, link);
	free(group);
}
