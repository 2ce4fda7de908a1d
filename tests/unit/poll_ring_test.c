/* SPDX-License-Identifier: MIT */
/* How many system calls the contexts of engine poll's ring cost. The kernel is a script. */
#include "aio/aio_nr.h"
#include "aio/engine_poll_ring.h"
#include "aio/ringmap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ENTRIES	 4096
#define CONTEXTS 16

/* A context is its place here. */
struct context {
	unsigned int room, held;
	struct iocb *iocbs[ENTRIES];
};

static struct {
	struct context contexts[CONTEXTS];
	unsigned int ncontexts;
	unsigned int free; /* slots */
	bool is_hidden;	   /* there is no /proc that tells how many */
	unsigned int nsetups, nsubmits;
} kernel;

int io_setup(int room, io_context_t *id)
{
	kernel.nsetups++;
	if ((unsigned int)room > kernel.free)
		return -EAGAIN;
	assert_true(kernel.ncontexts < CONTEXTS);
	kernel.free -= (unsigned int)room;
	kernel.contexts[kernel.ncontexts] = (struct context){.room = (unsigned int)room};
	*id = (io_context_t)&kernel.contexts[kernel.ncontexts++];
	return 0;
}

int io_destroy(io_context_t id)
{
	return 0;
}

int io_submit(io_context_t id, long nr, struct iocb **iocbs)
{
	struct context *context = (struct context *)id;

	kernel.nsubmits++;
	assert_true(nr > 0 && context->held + nr <= context->room);
	for (long i = 0; i < nr; i++)
		context->iocbs[context->held++] = iocbs[i];
	return (int)nr;
}

bool ringmap_usable(io_context_t id, bool may_map)
{
	return false;
}

int ringmap_take(io_context_t id, int nr, struct io_event *events)
{
	return 0;
}

int ringmap_take_syscall(io_context_t id, int nr, struct io_event *events)
{
	struct context *context = (struct context *)id;
	int n = 0;

	while (n < nr && context->held)
		events[n++] = (struct io_event){.obj = context->iocbs[--context->held]};
	return n;
}

int taio_slots(struct taio_slots *slots, bool holder)
{
	*slots = (struct taio_slots){.taken = 65536 - (long)kernel.free, .max = 65536};
	return kernel.is_hidden ? -ENOENT : 0;
}

void aio_nr_explain(int err, unsigned int wanted, char *why) {}

/* A ring that begins with @slots of the @free. */
static struct poll_ring *ring_open(unsigned int slots, unsigned int free)
{
	static struct poll_ring ring;
	struct taio_params params = {.entries = ENTRIES, .slots = slots};
	char why[TAIO_WHY_LEN];

	kernel.ncontexts = kernel.nsetups = kernel.nsubmits = 0;
	kernel.free = free;
	kernel.is_hidden = false;
	ring = (struct poll_ring){0};
	assert_int_equal(poll_ring_init(&ring, &params, why), 0);
	return &ring;
}

static bool refuse_none(struct poll_ring *r, struct poll_op *op, int res)
{
	fail();
	return true;
}

/* Submits a batch of @n; returns how many system calls it took. */
static unsigned int submit(struct poll_ring *r, unsigned int n)
{
	unsigned int before = kernel.nsubmits;

	for (unsigned int i = 0; i < n; i++)
		sq_put(r, poll_op_alloc(r), KERNEL_TRY);
	sq_flush(r, refuse_none);
	assert_int_equal(r->sq_len, 0);
	return kernel.nsubmits - before;
}

static void reap_all(struct poll_ring *r)
{
	struct io_event events[64];
	int n;

	while ((n = poll_take(r, 64, events)))
		for (int i = 0; i < n; i++)
			poll_op_free(r, (struct poll_op *)events[i].obj);
}

static void assert_held(unsigned int a, unsigned int b, unsigned int c)
{
	assert_int_equal(kernel.contexts[0].held, a);
	assert_int_equal(kernel.contexts[1].held, b);
	assert_int_equal(kernel.contexts[2].held, c);
}

/* Contexts for 4, 4 and 8. */
static struct poll_ring *ring_of_three(void)
{
	struct poll_ring *r = ring_open(4, 65536);

	poll_grow(&r->taio, 16);
	assert_int_equal(r->nctxs, 3);
	return r;
}

static void a_batch_goes_to_the_first_context_that_takes_all_of_it(void **state)
{
	struct poll_ring *r = ring_of_three();

	assert_int_equal(submit(r, 3), 1);
	assert_held(3, 0, 0);
	assert_int_equal(submit(r, 4), 1);
	assert_held(3, 4, 0);
	assert_int_equal(submit(r, 6), 1);
	assert_held(3, 4, 6);
	assert_int_equal(submit(r, 1), 1); /* what has room is used before what comes behind it */
	assert_held(4, 4, 6);
	reap_all(r);
	assert_int_equal(submit(r, 2), 1);
	assert_held(2, 0, 0);
	poll_ring_fini(r);
}

static void a_batch_that_no_context_takes_is_torn_once(void **state)
{
	struct poll_ring *r = ring_of_three();

	assert_int_equal(submit(r, 3), 1);
	assert_int_equal(submit(r, 10), 2);
	assert_held(3, 2, 8);
	assert_int_equal(submit(r, 3), 2);
	assert_held(4, 4, 8);
	poll_ring_fini(r);
}

static void no_context_is_asked_for_that_cannot_be_had(void **state)
{
	struct poll_ring *r = ring_open(0, 256);

	assert_int_equal(kernel.nsetups, 1);
	for (int i = 0; i < 3; i++)
		poll_grow(&r->taio, 257);
	assert_int_equal(kernel.nsetups, 1);
	kernel.free = 100;
	poll_grow(&r->taio, 257);
	assert_int_equal(kernel.nsetups, 2);
	assert_int_equal(r->taio.entries, 256 + 64);
	poll_ring_fini(r);
}

static void without_proc_fewer_are_tried(void **state)
{
	struct poll_ring *r = ring_open(256, 256 + 100);

	kernel.is_hidden = true;
	poll_grow(&r->taio, 257);
	assert_int_equal(r->taio.entries, 256 + 64);
	assert_int_equal(kernel.nsetups, 1 + 3);
	poll_ring_fini(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_goes_to_the_first_context_that_takes_all_of_it),
		cmocka_unit_test(a_batch_that_no_context_takes_is_torn_once),
		cmocka_unit_test(no_context_is_asked_for_that_cannot_be_had),
		cmocka_unit_test(without_proc_fewer_are_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
