/* SPDX-License-Identifier: MIT */
/* Some connections of one listener, between requests, without a ring. */
#ifndef CONN_SCENE_H
#define CONN_SCENE_H

#include "server/conn/deadline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NCONNS 4

static enum phase phase;

static enum phase fake_phase(const void *session)
{
	return phase;
}

static const struct service fake_service = {.name = "fake", .phase = fake_phase};
static struct endpoint fake_endpoint = {.service = &fake_service};

static struct {
	struct shard shard;
	struct conn_group *group;
	struct conn conns[NCONNS];
	struct conn *expired[NCONNS];
	unsigned int nexpired;
} scene;

/* Connections between requests: the idle timeout counts. */
static int scene_open(void **state)
{
	struct limits limits = {.conn_memory = 64 * 1024};

	memset(&scene, 0, sizeof(scene));
	scene.shard.now_us = 1000;
	deadline_init(&scene.shard);
	phase = PHASE_IDLE;
	for (int class = 0; class < DEADLINE_NCLASSES; class ++)
		limits.timeout_us[class] = 100;
	scene.group = conn_group_create(&scene.shard, &limits);
	assert_non_null(scene.group);
	for (int i = 0; i < NCONNS; i++)
		scene.conns[i] = (struct conn){.magic = CONN_MAGIC,
					       .shard = &scene.shard,
					       .group = scene.group,
					       .endpoint = &fake_endpoint,
					       .state = CONN_SERVE};
	return 0;
}

static int scene_close(void **state)
{
	conn_group_put(scene.group);
	return 0;
}

static inline void set_timeout(struct conn_group *group, enum deadline_class class, uint64_t timeout_us)
{
	struct limits limits = group->limits;

	limits.timeout_us[class] = timeout_us;
	deadline_set_limits(group, &limits);
}

static inline void on_expired(struct conn *c, enum close_reason reason)
{
	assert_int_equal(reason, CLOSE_IDLE);
	scene.expired[scene.nexpired++] = c;
}

static inline uint64_t expire_at(uint64_t now_us)
{
	scene.shard.now_us = now_us;
	return deadline_expire(&scene.shard, DEADLINE_IDLE, on_expired);
}

#define SCENE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

#endif
