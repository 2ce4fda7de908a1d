/* SPDX-License-Identifier: MIT */
/* roster: parts from all workers, in whichever order they come, and none too many or too late for who has
 * gone. */
#include "server/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NDESKS 4
#define ROUNDS 2000

/* A worker's loop: sleeps until its desk wakes it. */
struct loop {
	struct roster_desk desk;
	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool is_woken, ends;
	unsigned int index, asked, whole, freed;
	pthread_t thread;
};

static struct loop loops[NDESKS];
static struct roster_desk *desks[NDESKS];
static const struct roster_room room = {desks, NDESKS};
static const struct roster_question all = {.most = 1};

static void wake(void *arg)
{
	struct loop *loop = arg;

	pthread_mutex_lock(&loop->lock);
	loop->is_woken = true;
	pthread_cond_signal(&loop->woken);
	pthread_mutex_unlock(&loop->lock);
}

static void fill(struct roster_desk *desk, unsigned int index)
{
	struct roster_part *part;

	while ((part = roster_next(desk))) {
		char *text = malloc(16);

		assert_non_null(text);
		roster_fill(part, text, (size_t)snprintf(text, 16, "of %u", index));
	}
}

static void set_up(struct loop *loop, unsigned int index)
{
	*loop = (struct loop){.index = index};
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->woken, NULL);
	roster_desk_init(&loop->desk, wake, loop);
	desks[index] = &loop->desk;
}

static int make_desks(void **state)
{
	for (unsigned int i = 0; i < NDESKS; i++)
		set_up(&loops[i], i);
	return 0;
}

static int end_desks(void **state)
{
	for (unsigned int i = 0; i < NDESKS; i++)
		roster_desk_fini(&loops[i].desk);
	return 0;
}

static void count_one(void *arg)
{
	++*(unsigned int *)arg;
}

static void assert_text(const struct roster *roster, unsigned int i, const char *want)
{
	size_t len;
	const char *text = roster_text(roster, i, &len);

	if (!want) {
		assert_null(text);
		return;
	}
	assert_int_equal(len, strlen(want));
	assert_memory_equal(text, want, len);
}

static void it_is_whole_with_the_last_part(void **state)
{
	unsigned int ndone = 0;
	struct roster *roster = roster_ask(&room, &all, desks[1], count_one, &ndone);

	assert_non_null(roster);
	assert_int_equal(roster_size(roster), NDESKS);
	for (unsigned int i = NDESKS; i--;) {
		roster_deliver(desks[1]);
		assert_int_equal(ndone, 0);
		loops[1].is_woken = false;
		fill(desks[i], i);
	}
	assert_true(loops[1].is_woken);
	roster_deliver(desks[0]);
	assert_int_equal(ndone, 0);
	roster_deliver(desks[1]);
	roster_deliver(desks[1]);
	assert_int_equal(ndone, 1);
	assert_text(roster, 0, "of 0");
	assert_text(roster, 3, "of 3");
	roster_free(roster);
}

static void the_end_of_a_connection_is_asked_of_its_worker_alone(void **state)
{
	static const struct roster_question question = {.ends = 77, .worker = 2};
	unsigned int ndone = 0;
	struct roster *roster = roster_ask(&room, &question, desks[1], count_one, &ndone);
	struct roster_part *part;

	assert_null(roster_next(desks[0]));
	assert_null(roster_next(desks[1]));
	assert_null(roster_next(desks[3]));
	part = roster_next(desks[2]);
	assert_non_null(part);
	assert_int_equal(roster_part_question(part)->ends, 77);
	roster_fill(part, NULL, 0);
	roster_deliver(desks[1]);
	assert_int_equal(ndone, 1);
	assert_int_equal(roster_question(roster)->worker, 2);
	assert_text(roster, 2, NULL);
	roster_free(roster);
}

static void who_has_gone_is_not_called(void **state)
{
	unsigned int ndone = 0;
	struct roster *before = roster_ask(&room, &all, desks[0], count_one, &ndone);
	struct roster *after = roster_ask(&room, &all, desks[0], count_one, &ndone);

	roster_free(before);
	for (unsigned int i = 0; i < NDESKS; i++)
		fill(desks[i], i);
	roster_free(after); /* it is whole, and not delivered */
	roster_deliver(desks[0]);
	assert_int_equal(ndone, 0);
}

static void a_worker_that_has_ended_has_no_part(void **state)
{
	unsigned int ndone = 0;
	struct roster *roster;

	roster = roster_ask(&room, &all, desks[0], count_one, &ndone);
	roster_desk_close(desks[2]);
	fill(desks[2], 2); /* what had come */
	for (unsigned int i = 0; i < NDESKS; i++)
		fill(desks[i], i);
	roster_deliver(desks[0]);
	assert_int_equal(ndone, 1);
	assert_text(roster, 2, "of 2");
	roster_free(roster);

	roster = roster_ask(&room, &all, desks[0], count_one, &ndone);
	for (unsigned int i = 0; i < NDESKS; i++)
		fill(desks[i], i);
	roster_deliver(desks[0]);
	assert_int_equal(ndone, 2);
	assert_text(roster, 2, NULL);
	assert_text(roster, 1, "of 1");
	roster_free(roster);
}

static void what_nobody_takes_is_freed_in_the_end(void **state)
{
	unsigned int ndone = 0;

	assert_non_null(roster_ask(&room, &all, desks[0], count_one, &ndone));
	for (unsigned int i = 0; i < NDESKS; i++)
		fill(desks[i], i);
}

/* --- threads --- */

struct question {
	struct loop *loop;
	struct roster *roster;
};

static void on_whole(void *arg)
{
	struct question *question = arg;
	struct loop *loop = question->loop;

	for (unsigned int i = 0; i < NDESKS; i++) {
		size_t len;
		const char *text = roster_text(question->roster, i, &len);

		if (text && (len != 4 || text[3] != (char)('0' + i)))
			abort();
	}
	roster_free(question->roster);
	free(question);
	loop->whole++;
}

static void ask(struct loop *loop)
{
	struct question *question = malloc(sizeof(*question));

	if (!question)
		abort();
	question->loop = loop;
	question->roster = roster_ask(&room, &all, &loop->desk, on_whole, question);
	if (!question->roster)
		abort();
	if (++loop->asked % 3 == 0) {
		roster_free(question->roster);
		free(question);
		loop->freed++;
	}
}

static bool is_over(const struct loop *loop)
{
	return loop->asked == ROUNDS && loop->whole + loop->freed == ROUNDS;
}

static atomic_uint nover;

static void *run(void *arg)
{
	struct loop *loop = arg;
	bool told = false;

	while (atomic_load(&nover) < NDESKS) {
		pthread_mutex_lock(&loop->lock);
		while (!loop->is_woken && loop->asked == ROUNDS && atomic_load(&nover) < NDESKS)
			pthread_cond_wait(&loop->woken, &loop->lock);
		loop->is_woken = false;
		pthread_mutex_unlock(&loop->lock);
		if (loop->asked < ROUNDS)
			ask(loop);
		fill(&loop->desk, loop->index);
		roster_deliver(&loop->desk);
		if (!told && is_over(loop)) {
			told = true;
			atomic_fetch_add(&nover, 1);
			for (unsigned int i = 0; i < NDESKS; i++)
				wake(&loops[i]);
		}
	}
	roster_desk_close(&loop->desk);
	fill(&loop->desk, loop->index);
	return NULL;
}

static void all_ask_all(void **state)
{
	atomic_store(&nover, 0);
	for (unsigned int i = 0; i < NDESKS; i++)
		assert_int_equal(pthread_create(&loops[i].thread, NULL, run, &loops[i]), 0);
	for (unsigned int i = 0; i < NDESKS; i++)
		pthread_join(loops[i].thread, NULL);
	for (unsigned int i = 0; i < NDESKS; i++)
		assert_int_equal(loops[i].whole, ROUNDS - ROUNDS / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_whole_with_the_last_part, make_desks, end_desks),
		cmocka_unit_test_setup_teardown(the_end_of_a_connection_is_asked_of_its_worker_alone,
						make_desks, end_desks),
		cmocka_unit_test_setup_teardown(who_has_gone_is_not_called, make_desks, end_desks),
		cmocka_unit_test_setup_teardown(a_worker_that_has_ended_has_no_part, make_desks, end_desks),
		cmocka_unit_test_setup_teardown(what_nobody_takes_is_freed_in_the_end, make_desks, end_desks),
		cmocka_unit_test_setup_teardown(all_ask_all, make_desks, end_desks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
