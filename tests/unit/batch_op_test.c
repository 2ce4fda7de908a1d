/* SPDX-License-Identifier: MIT */
/* An operation is cancelled once, and not before the ring has it. The ring is a script. */
#include "aio/batch_op.h"
#include "aio/taio.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What the ring says to each submission (0: it takes all), and what it has been asked to cancel. */
static struct {
	int says;
	unsigned int ncancels;
	const struct iocb *cancelled;
} ring;

static struct {
	unsigned int n;
	const struct op *op;
	long err;
} refusal;

int taio_submit(struct taio *unused, long nr, struct iocb **iocbs)
{
	return ring.says ? ring.says : (int)nr;
}

int taio_cancel(struct taio *unused, struct iocb *iocb)
{
	ring.ncancels++;
	ring.cancelled = iocb;
	return 0;
}

static void refused(struct op *op, long err)
{
	assert_true(op_is_idle(op));
	refusal.n++;
	refusal.op = op;
	refusal.err = err;
}

static struct batch batch;
static struct op op;

static int setup(void **state)
{
	memset(&ring, 0, sizeof(ring));
	memset(&refusal, 0, sizeof(refusal));
	op = (struct op){0};
	return batch_reserve(&batch, 1);
}

static int teardown(void **state)
{
	batch_fini(&batch);
	return 0;
}

static void an_idle_operation_is_not_cancelled(void **state)
{
	assert_false(op_cancel(&op, NULL));
	assert_int_equal(ring.ncancels, 0);
}

static void one_in_flight_is_cancelled_at_once_and_once(void **state)
{
	op_start(&op, &batch);
	assert_false(op_flush(&batch, NULL, refused));
	assert_int_equal(op.state, OP_IN_FLIGHT);
	assert_int_equal(ring.ncancels, 0);
	assert_true(op_cancel(&op, NULL));
	assert_false(op_cancel(&op, NULL));
	assert_int_equal(ring.ncancels, 1);
	assert_ptr_equal(ring.cancelled, &op.iocb);
	assert_ptr_equal(op_done(&op.iocb), &op);
	assert_true(op_is_idle(&op) && op.cancelled);
}

static void a_queued_one_is_cancelled_once_the_ring_has_it(void **state)
{
	op_start(&op, &batch);
	assert_true(op_cancel(&op, NULL));
	ring.says = -EAGAIN;
	assert_true(op_flush(&batch, NULL, refused));
	assert_int_equal(op.state, OP_QUEUED);
	assert_false(op_cancel(&op, NULL));
	assert_int_equal(ring.ncancels, 0);
	ring.says = 0;
	assert_false(op_flush(&batch, NULL, refused));
	assert_int_equal(op.state, OP_IN_FLIGHT);
	assert_int_equal(ring.ncancels, 1);
	assert_ptr_equal(ring.cancelled, &op.iocb);
}

static void a_refused_one_is_idle_and_not_cancelled(void **state)
{
	op_start(&op, &batch);
	assert_true(op_cancel(&op, NULL));
	ring.says = -EBADF;
	assert_false(op_flush(&batch, NULL, refused));
	assert_int_equal(refusal.n, 1);
	assert_ptr_equal(refusal.op, &op);
	assert_int_equal(refusal.err, -EBADF);
	assert_int_equal(ring.ncancels, 0);
}

static void a_cancel_does_not_outlive_its_operation(void **state)
{
	a_queued_one_is_cancelled_once_the_ring_has_it(state);
	op_done(&op.iocb);
	op_start(&op, &batch);
	assert_false(op.cancelled);
	assert_false(op_flush(&batch, NULL, refused));
	assert_int_equal(ring.ncancels, 1);
	assert_true(op_cancel(&op, NULL));
	assert_int_equal(ring.ncancels, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_idle_operation_is_not_cancelled),
		TEST(one_in_flight_is_cancelled_at_once_and_once),
		TEST(a_queued_one_is_cancelled_once_the_ring_has_it),
		TEST(a_refused_one_is_idle_and_not_cancelled),
		TEST(a_cancel_does_not_outlive_its_operation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
