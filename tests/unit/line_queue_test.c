/* SPDX-License-Identifier: MIT */
/* Lines go through a queue whole and in order, or not at all; one thread puts them, another takes them. */
#include "server/line_queue.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE   4096
#define NLINES 200000

static struct line_queue *queue;

static int open_queue(void **state)
{
	queue = line_queue_create(SIZE);
	return !queue;
}

static int close_queue(void **state)
{
	line_queue_destroy(queue);
	return 0;
}

static bool put(const char *line)
{
	return line_queue_put(queue, line, strlen(line));
}

static void takes(size_t room, const char *want)
{
	char text[SIZE] = "";

	assert_int_equal(line_queue_take(queue, text, room), strlen(want));
	assert_memory_equal(text, want, strlen(want));
}

static void whole_lines_are_taken(void **state)
{
	takes(100, "");
	assert_true(put("one\n"));
	assert_true(put("three\n"));
	assert_int_equal(line_queue_used(queue), 10);
	takes(9, "one\n");
	assert_true(put("five\n"));
	takes(5, "");
	takes(100, "three\nfive\n");
	assert_int_equal(line_queue_used(queue), 0);
}

static void what_has_no_room_is_refused(void **state)
{
	char half[SIZE / 2 + 1] = "", text[SIZE];

	memset(half, 'x', SIZE / 2);
	half[SIZE / 2 - 1] = '\n';
	assert_true(put(half));
	assert_true(put(half)); /* it is full to the last byte */
	assert_false(put("\n"));
	assert_int_equal(line_queue_used(queue), SIZE);
	assert_int_equal(line_queue_take(queue, text, SIZE - 1), SIZE / 2);
	assert_true(put("\n"));
	assert_false(put(half));
	assert_int_equal(line_queue_take(queue, text, SIZE), SIZE / 2 + 1);
}

static void make_line(char *line, unsigned int number)
{
	int len = snprintf(line, 64, "%u ", number);

	memset(line + len, 'a' + (int)(number % 26), number % 40);
	strcpy(line + len + number % 40, "\n");
}

static void *put_all(void *arg)
{
	unsigned int *nrefused = arg;
	char line[128];

	for (unsigned int i = 0; i < NLINES; i++) {
		make_line(line, i);
		while (!put(line)) {
			++*nrefused;
			sched_yield();
		}
	}
	return NULL;
}

static void another_thread_gets_every_line(void **state)
{
	unsigned int nrefused = 0, next = 0;
	char text[SIZE + 1], line[128];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, put_all, &nrefused), 0);
	while (next < NLINES) {
		size_t len = line_queue_take(queue, text, 64 + next % (SIZE - 63));
		const char *at = text;

		if (!len)
			sched_yield();
		text[len] = '\0';
		for (; at < text + len; at += strlen(line)) {
			make_line(line, next++);
			assert_int_equal(strncmp(at, line, strlen(line)), 0);
		}
	}
	pthread_join(thread, NULL);
	assert_int_equal(line_queue_used(queue), 0);
	print_message("refused %u times\n", nrefused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_lines_are_taken, open_queue, close_queue),
		cmocka_unit_test_setup_teardown(what_has_no_room_is_refused, open_queue, close_queue),
		cmocka_unit_test_setup_teardown(another_thread_gets_every_line, open_queue, close_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
