/* SPDX-License-Identifier: MIT */
/* A batch gives each operation to the ring once, in order, and loses none. The ring is a script. */
#include "aio/batch.h"
#include "aio/taio.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define OPS 64

/* What the ring says to the operations that come: it takes at most `takes` at a time and `room` in all. */
struct script {
	unsigned int takes, room;
	const struct iocb *refused; /* with -EBADF, or NULL */
	unsigned int nsubmits;
};

/* What was told, in order. */
struct record {
	struct batch *batch;
	struct iocb *more; /* to be added when the first refusal or, without one, the first taking is told */
	bool on_refusal;
	unsigned int n;
	const struct iocb *iocbs[2 * OPS];
	int errs[2 * OPS];
};

static struct script script;
static struct iocb ops[OPS + 1];

int taio_submit(struct taio *ring, long nr, struct iocb **iocbs)
{
	long n = 0;

	script.nsubmits++;
	while (n < nr && n < (long)script.takes && script.room && iocbs[n] != script.refused) {
		script.room--;
		n++;
	}
	if (n)
		return (int)n;
	return iocbs[0] == script.refused ? -EBADF : -EAGAIN;
}

static void outcome(void *arg, struct iocb *iocb, int err)
{
	struct record *record = arg;

	record->iocbs[record->n] = iocb;
	record->errs[record->n++] = err;
	if (record->more && (err || !record->on_refusal)) {
		batch_add(record->batch, record->more);
		record->more = NULL;
	}
}

static void fill(struct batch *batch, unsigned int n)
{
	*batch = (struct batch){0};
	assert_int_equal(batch_reserve(batch, OPS), 0);
	assert_int_equal(batch->cap, OPS);
	for (unsigned int i = 0; i < n; i++)
		batch_add(batch, &ops[i]);
}

static void assert_told_in_order(const struct record *record, unsigned int n)
{
	assert_int_equal(record->n, n);
	for (unsigned int i = 0; i < n; i++)
		assert_ptr_equal(record->iocbs[i], &ops[i]);
}

static void all_are_taken_in_order(void **state)
{
	static const unsigned int takes[] = {1, 7, OPS};
	struct batch batch;

	for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
		struct record record = {.batch = &batch};

		script = (struct script){.takes = takes[i], .room = OPS};
		fill(&batch, OPS);
		assert_false(batch_flush(&batch, NULL, outcome, &record));
		assert_told_in_order(&record, OPS);
		assert_int_equal(script.nsubmits, (OPS + takes[i] - 1) / takes[i]);
		assert_int_equal(batch.len, 0);
		batch_fini(&batch);
	}
}

static void what_a_full_ring_does_not_take_stays_in_order(void **state)
{
	struct batch batch;
	struct record record = {.batch = &batch};

	script = (struct script){.takes = OPS, .room = 10};
	fill(&batch, 30);
	assert_true(batch_flush(&batch, NULL, outcome, &record));
	assert_told_in_order(&record, 10);
	assert_int_equal(batch.len, 20);
	script.room = OPS;
	assert_false(batch_flush(&batch, NULL, outcome, &record));
	assert_told_in_order(&record, 30);
	batch_fini(&batch);
}

static void a_refused_one_is_told_and_the_rest_goes_on(void **state)
{
	struct batch batch;
	struct record record = {.batch = &batch};

	script = (struct script){.takes = OPS, .room = OPS, .refused = &ops[5]};
	fill(&batch, 12);
	assert_false(batch_flush(&batch, NULL, outcome, &record));
	assert_told_in_order(&record, 12);
	for (unsigned int i = 0; i < 12; i++)
		assert_int_equal(record.errs[i], i == 5 ? -EBADF : 0);
	batch_fini(&batch);
}

/* The batch is full: the new one takes the place of those that have left it. */
static void one_that_is_added_meanwhile_goes_with_the_others(void **state)
{
	for (int on_refusal = 0; on_refusal < 2; on_refusal++) {
		struct batch batch;
		struct record record = {.batch = &batch, .more = &ops[OPS], .on_refusal = on_refusal};

		script = (struct script){
			.takes = OPS, .room = OPS + 1, .refused = on_refusal ? &ops[3] : NULL};
		fill(&batch, OPS);
		assert_false(batch_flush(&batch, NULL, outcome, &record));
		assert_told_in_order(&record, OPS + 1);
		assert_int_equal(batch.len, 0);
		batch_fini(&batch);
	}
}

static void an_empty_batch_leaves_the_ring_alone(void **state)
{
	struct batch batch = {0};

	script = (struct script){0};
	assert_false(batch_flush(&batch, NULL, outcome, NULL));
	assert_int_equal(script.nsubmits, 0);
}

static void what_is_moved_comes_behind(void **state)
{
	struct batch batch, other;
	struct record record = {.batch = &batch};

	script = (struct script){.takes = OPS, .room = OPS};
	fill(&other, 0);
	fill(&batch, 5);
	batch_move(&batch, &other);
	for (unsigned int i = 5; i < 9; i++)
		batch_add(&other, &ops[i]);
	batch_move(&batch, &other);
	assert_int_equal(other.len, 0);
	assert_false(batch_flush(&batch, NULL, outcome, &record));
	assert_told_in_order(&record, 9);
	batch_fini(&batch);
	batch_fini(&other);
}

static void room_only_grows(void **state)
{
	struct batch batch = {0};

	assert_int_equal(batch_reserve(&batch, 1000), 0);
	assert_int_equal(batch.cap, 1024);
	assert_int_equal(batch_reserve(&batch, 3), 0);
	assert_int_equal(batch.cap, 1024);
	assert_int_equal(batch_reserve(&batch, UINT32_MAX), -ENOMEM);
	assert_int_equal(batch.cap, 1024);
	batch_fini(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_taken_in_order),
		cmocka_unit_test(what_a_full_ring_does_not_take_stays_in_order),
		cmocka_unit_test(a_refused_one_is_told_and_the_rest_goes_on),
		cmocka_unit_test(one_that_is_added_meanwhile_goes_with_the_others),
		cmocka_unit_test(an_empty_batch_leaves_the_ring_alone),
		cmocka_unit_test(what_is_moved_comes_behind),
		cmocka_unit_test(room_only_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
