/* SPDX-License-Identifier: MIT */
/* Listeners have timeouts of their own, and their connections one order. No ring. */
#include "conn_scene.h"

/* The first two connections are the scene's group's, the others @group's, which waits for @idle_us. */
static struct conn_group *open_second(uint64_t idle_us)
{
	struct limits limits = scene.group->limits;
	struct conn_group *group;

	limits.timeout_us[DEADLINE_IDLE] = idle_us;
	group = conn_group_create(&scene.shard, &limits);
	assert_non_null(group);
	for (int i = 2; i < NCONNS; i++)
		scene.conns[i].group = group;
	return group;
}

static void assert_expired(struct conn *first, struct conn *second)
{
	assert_int_equal(scene.nexpired, !!first + !!second);
	for (unsigned int i = 0; i < scene.nexpired; i++)
		assert_true(scene.expired[i] == first || scene.expired[i] == second);
	scene.nexpired = 0;
}

static void each_listener_has_its_own_timeouts(void **state)
{
	struct conn_group *second = open_second(30);
	struct conn *c = scene.conns;

	/* Due at 1100 and 1130, and, armed in between, at 1040 and 1060. */
	deadline_update(&c[0]);
	scene.shard.now_us = 1010;
	deadline_update(&c[2]);
	scene.shard.now_us = 1030;
	deadline_update(&c[1]);
	deadline_update(&c[3]);
	assert_int_equal(expire_at(1039), 1040);
	assert_expired(NULL, NULL);
	assert_int_equal(expire_at(1040), 1060);
	assert_expired(&c[2], NULL);
	assert_int_equal(expire_at(1060), 1100);
	assert_expired(&c[3], NULL);
	assert_int_equal(expire_at(1129), 1130);
	assert_expired(&c[0], NULL);
	assert_int_equal(expire_at(1130), 0);
	assert_expired(&c[1], NULL);
	conn_group_put(second);
}

/* What the worker's timer goes by: it waits for the longer timeout when the shorter one is armed. */
static void the_first_deadline_of_a_list_is_announced(void **state)
{
	struct conn_group *second = open_second(30);
	uint64_t *soonest_us = &scene.shard.soonest_us[DEADLINE_IDLE];
	struct conn *c = scene.conns;

	deadline_update(&c[0]);
	assert_int_equal(*soonest_us, 1100);
	deadline_update(&c[2]);
	assert_int_equal(*soonest_us, 1030);
	*soonest_us = 0; /* the worker has seen it */
	scene.shard.now_us = 1010;
	deadline_update(&c[1]);
	deadline_update(&c[3]);
	assert_int_equal(*soonest_us, 0); /* neither comes before what is known */
	assert_int_equal(expire_at(1040), 1100);
	assert_expired(&c[2], &c[3]);
	c[2].deadline_class = DEADLINE_NONE;
	deadline_update(&c[2]);
	assert_int_equal(*soonest_us, 1070);
	deadline_clear(&c[0]);
	deadline_clear(&c[1]);
	deadline_clear(&c[2]);
	conn_group_put(second);
}

static void new_limits_of_a_listener_leave_the_others_alone(void **state)
{
	struct conn_group *second = open_second(30);
	struct conn *c = scene.conns;

	for (unsigned int i = 0; i < NCONNS; i++)
		LIST_INSERT_HEAD(&scene.shard.conns, &c[i], link);
	for (unsigned int i = 0; i < NCONNS; i++) {
		scene.shard.now_us = 1000 + 10 * i;
		deadline_update(&c[i]);
	}
	scene.shard.soonest_us[DEADLINE_IDLE] = 0;
	set_timeout(second, DEADLINE_IDLE, 50);
	set_timeout(scene.group, DEADLINE_IDLE, 100); /* as it is */
	deadline_rearm(&scene.shard);
	assert_int_equal(scene.shard.soonest_us[DEADLINE_IDLE], 1080);
	assert_int_equal(c[0].deadline_us, 1100);
	assert_int_equal(c[1].deadline_us, 1110);
	assert_int_equal(expire_at(1079), 1080);
	assert_int_equal(expire_at(1080), 1100);
	assert_expired(&c[2], &c[3]);
	assert_int_equal(expire_at(1110), 0);
	assert_expired(&c[0], &c[1]);
	conn_group_put(second);
}

/* Longer idle, though its deadline comes later. */
static void the_most_idle_is_found_among_all_listeners(void **state)
{
	struct conn_group *second = open_second(30);
	struct conn *c = scene.conns;

	deadline_update(&c[0]);
	scene.shard.now_us = 1010;
	deadline_update(&c[2]);
	assert_true(c[2].deadline_us < c[0].deadline_us);
	assert_ptr_equal(deadline_most_idle(&scene.shard), &c[0]);
	assert_ptr_equal(deadline_most_idle_of(scene.group), &c[0]);
	assert_ptr_equal(deadline_most_idle_of(second), &c[2]);
	deadline_clear(&c[0]);
	assert_ptr_equal(deadline_most_idle(&scene.shard), &c[2]);
	assert_null(deadline_most_idle_of(scene.group));
	deadline_clear(&c[2]);
	assert_null(deadline_most_idle(&scene.shard));
	conn_group_put(second);
}

static struct conn_group *leaving;

static void on_last_expired(struct conn *c, enum close_reason reason)
{
	scene.expired[scene.nexpired++] = c;
	if (leaving)
		conn_group_put(leaving);
	leaving = NULL;
}

/* Its listener is gone, and the last of its connections ends while groups are walked. */
static void a_group_may_end_with_its_last_connection(void **state)
{
	leaving = open_second(30);
	deadline_update(&scene.conns[0]);
	deadline_update(&scene.conns[2]);
	scene.shard.now_us = 1100;
	assert_int_equal(deadline_expire(&scene.shard, DEADLINE_IDLE, on_last_expired), 0);
	assert_expired(&scene.conns[0], &scene.conns[2]);
	assert_ptr_equal(LIST_FIRST(&scene.shard.groups), scene.group);
	assert_null(LIST_NEXT(scene.group, link));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(each_listener_has_its_own_timeouts),
		SCENE_TEST(the_first_deadline_of_a_list_is_announced),
		SCENE_TEST(new_limits_of_a_listener_leave_the_others_alone),
		SCENE_TEST(the_most_idle_is_found_among_all_listeners),
		SCENE_TEST(a_group_may_end_with_its_last_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
