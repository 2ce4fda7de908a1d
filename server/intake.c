/* SPDX-License-Identifier: MIT */
#include "intake.h"

#include "config.h"
#include "endpoint.h"
#include "listener.h"
#include "server/conn/deadline.h"
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct acceptor *find(const struct intake *intake, const struct sockets *sockets)
{
	for (unsigned int i = 0; intake && i < intake->n; i++)
		if (intake->config->listeners[i].sockets == sockets)
			return intake->slots[i].acceptor;
	return NULL;
}

static struct limits limits_of(const struct intake_host *host, const struct config *config, unsigned int i)
{
	struct limits limits = config->listeners[i].limits;

	limits.max_connections =
		intake_share(limits.max_connections, sockets_acceptors(config->listeners[i].sockets));
	return limits;
}

static void acceptor_free(struct acceptor *a)
{
	if (a->group)
		conn_group_put(a->group);
	free(a);
}

static struct acceptor *acceptor_create(const struct intake_host *host, const struct config *config,
					unsigned int i)
{
	struct limits limits = limits_of(host, config, i);
	struct acceptor *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->shard = host->shard;
	a->limit = host->limit;
	a->fd = config->listeners[i].sockets->fds[host->index];
	a->group = conn_group_create(host->shard, &limits);
	if (a->group) {
		_Static_assert(CONN_GROUP_WHERE_LEN >= SOCKETS_TEXT_LEN, "it takes any address");
		sockets_text(config->listeners[i].sockets, a->group->where);
		return a;
	}
	free(a);
	return NULL;
}

/* An acceptor that has no endpoint yet has not started. */
static int slot_prepare(struct intake_slot *slot, const struct intake_host *host, const struct intake *now,
			struct config *config, unsigned int i, char *why)
{
	slot->acceptor = find(now, config->listeners[i].sockets);
	if (!slot->acceptor) {
		slot->acceptor = acceptor_create(host, config, i);
		if (!slot->acceptor) {
			snprintf(why, INTAKE_WHY_LEN, "out of memory");
			return -ENOMEM;
		}
	} else if (endpoint_is_same(slot->acceptor->endpoint, config, i)) {
		slot->endpoint = endpoint_get(slot->acceptor->endpoint);
		return 0;
	}
	return endpoint_open(&slot->endpoint, config, i, host->env, slot->acceptor->group, why);
}

int intake_prepare(struct intake **next, const struct intake_host *host, const struct intake *now,
		   struct config *config, char *why)
{
	struct intake *made = calloc(1, sizeof(*made) + config->nlisteners * sizeof(made->slots[0]));

	if (!made) {
		snprintf(why, INTAKE_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	made->config = config_get(config);
	for (; made->n < config->nlisteners; made->n++) {
		int ret = slot_prepare(&made->slots[made->n], host, now, config, made->n, why);

		if (ret) {
			made->n++;
			intake_abort(made);
			return ret;
		}
	}
	*next = made;
	return 0;
}

static void intake_free(struct intake *intake)
{
	config_put(intake->config);
	free(intake);
}

void intake_abort(struct intake *next)
{
	if (!next)
		return;
	for (unsigned int i = 0; i < next->n; i++) {
		struct intake_slot *slot = &next->slots[i];

		if (slot->endpoint)
			endpoint_put(slot->endpoint);
		if (slot->acceptor && !slot->acceptor->endpoint)
			acceptor_free(slot->acceptor);
	}
	intake_free(next);
}

static void slot_commit(struct intake_slot *slot, const struct config *config, unsigned int i,
			const struct intake_host *host)
{
	struct limits limits = limits_of(host, config, i);
	struct acceptor *a = slot->acceptor;
	struct endpoint *old = a->endpoint;

	deadline_set_limits(a->group, &limits);
	a->endpoint = slot->endpoint;
	if (old == a->endpoint) {
		endpoint_renew(a->endpoint, config, i);
		endpoint_put(old);
	} else if (old) {
		endpoint_leave(old);
	}
	if (old) {
		acceptor_resume(a); /* its limits may have changed */
	} else {
		acceptor_start(a, host->env->loop);
	}
}

static void acceptor_end(struct acceptor *a)
{
	endpoint_leave(a->endpoint);
	acceptor_free(a);
}

void intake_commit(struct intake *next, const struct intake_host *host, struct intake *now,
		   void (*gone)(void *arg, const struct sockets *sockets), void *arg)
{
	for (unsigned int i = 0; i < next->n; i++)
		slot_commit(&next->slots[i], next->config, i, host);
	for (unsigned int i = 0; now && i < now->n; i++) {
		struct sockets *sockets = now->config->listeners[i].sockets;

		if (find(next, sockets))
			continue;
		acceptor_stop(now->slots[i].acceptor);
		sockets_close_one(sockets, host->index);
		gone(arg, sockets);
		acceptor_end(now->slots[i].acceptor);
	}
	if (now)
		intake_free(now);
}

void intake_resume(struct intake *now)
{
	for (unsigned int i = 0; i < now->n; i++)
		acceptor_resume(now->slots[i].acceptor);
}

void intake_stop(struct intake *now, unsigned int index)
{
	for (unsigned int i = 0; i < now->n; i++) {
		acceptor_stop(now->slots[i].acceptor);
		sockets_close_one(now->config->listeners[i].sockets, index);
	}
}

void intake_close(struct intake *now)
{
	for (unsigned int i = 0; i < now->n; i++)
		acceptor_end(now->slots[i].acceptor);
	intake_free(now);
}
