/* SPDX-License-Identifier: MIT */
/*
 * Policy park: operations wait in one epoll set, and helpers run what is ready. Policy block falls back to it
 * when all of its helpers are taken.
 *
 * Owns the set, the table of waiters and the pollers. Pollers live in poller_run(); the ring's thread calls
 * the rest. Lock order: park.lock, then those of the pool and the done list.
 *
 * Descriptors are registered EPOLLONESHOT and armed (EPOLL_CTL_MOD) for what the waiters want. That costs a
 * system call where edge-triggered readiness flags would cost none, but arming checks the file's state again:
 * no edge has to be remembered between threads, so none can be lost, even if the thread that took an event
 * off the set comes too late.
 *
 * Invariants, under the lock:
 *  - an operation is OP_WAITING exactly while it is in the table;
 *  - a descriptor with waiters is armed for all they want, or its event is with a poller on its way to
 *    serve_event(), or it is busy, and is armed when it is no longer busy;
 *  - one thread at a time moves data on a descriptor (is_busy), so that its waiters are served in order;
 *  - an operation that must be tried, since epoll may never report it, is behind one of its direction, or
 *    that direction is in @untried, which is empty when the descriptor is no longer busy.
 */
#include "engine_threads_park.h"

#include "transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 8, /* a batch this large starts one more poller */
	IDLE_MS = 10 * 1000,
};

#define DATA_STOP UINT64_MAX

static struct threads_op *waiter_to_op(struct waiter *waiter)
{
	return (struct threads_op *)((char *)waiter - offsetof(struct threads_op, waiter));
}

/* Lock held. */
static void arm(struct park *park, int fd)
{
	struct waiting *waiting = waiters_at(&park->waiters, fd);
	struct epoll_event event = {.data.u64 = fd};
	uint32_t wants;

	if (waiting->is_busy || waiting->ops.last == NULL)
		return;
	wants = waiters_want(&park->waiters, fd) | EPOLLERR | EPOLLHUP;
	if ((wants & ~waiting->events) == 0)
		return;
	event.events = wants | EPOLLONESHOT;
	epoll_ctl(park->set, EPOLL_CTL_MOD, fd, &event);
	waiting->events = wants;
}

/* Lock held on entry and exit, not while data moves. Returns what is left of @directions. */
static uint32_t move_one(struct park *park, struct threads_op *op, uint32_t directions)
{
	uint32_t wants = iocb_wants(op->waiter.iocb);
	long res;

	atomic_store(&op->state, OP_MOVING);
	pthread_mutex_unlock(&park->lock);
	res = transfer_now(op->waiter.iocb, TAIO_CLASS_STREAM);
	if (res != -EAGAIN)
		threads_op_finish(op, res);
	pthread_mutex_lock(&park->lock);
	if (res != -EAGAIN)
		return directions;
	if (op_step(op, OP_MOVING, OP_WAITING))
		waiters_put_back(&park->waiters, &op->waiter);
	else
		threads_op_finish(op, -ECANCELED); /* the canceller calls park_try_next() */
	return directions & ~wants;
}

/* Lock held on entry and exit. */
static void serve_polls(struct park *park, int fd)
{
	struct waiter *waiter;
	long revents;

	while ((waiter = waiters_take_polled(&park->waiters, fd, &revents)) != NULL)
		threads_op_finish(waiter_to_op(waiter), revents);
}

/* Likewise; the descriptor is busy. */
static void serve_transfers(struct park *park, int fd, uint32_t directions)
{
	struct waiter *waiter;

	while ((waiter = waiters_take(&park->waiters, fd, directions)) != NULL)
		directions = move_one(park, waiter_to_op(waiter), directions);
}

/* Likewise. The entry is looked up each time: attach may have moved the table. */
static void serve(struct park *park, int fd, uint32_t directions)
{
	if (waiters_at(&park->waiters, fd)->is_busy)
		return;
	waiters_at(&park->waiters, fd)->is_busy = true;
	do {
		directions |= waiters_at(&park->waiters, fd)->untried;
		waiters_at(&park->waiters, fd)->untried = 0;
		serve_transfers(park, fd, directions);
		directions = 0;
	} while (waiters_at(&park->waiters, fd)->untried != 0);
	waiters_at(&park->waiters, fd)->is_busy = false;
	arm(park, fd);
}

static void serve_event(struct park *park, int fd, uint32_t events)
{
	pthread_mutex_lock(&park->lock);
	/*
	 * Taking the event disarmed the descriptor. If it was armed again since, one event too many
	 * arrives.
	 */
	waiters_at(&park->waiters, fd)->events = 0;
	serve_polls(park, fd);
	serve(park, fd, events_to_directions(events));
	pthread_mutex_unlock(&park->lock);
}

static void poller_run(struct job *job);

/* Lock held. */
static bool poller_start(struct park *park, struct poller *poller)
{
	poller->job = (struct job){.run = poller_run};
	poller->park = park;
	poller->is_running = pool_submit(park->pool, &poller->job, false) == 0;
	return poller->is_running;
}

static void poller_add(struct park *park)
{
	unsigned int i = 0;

	pthread_mutex_lock(&park->lock);
	while (i < park->nr_pollers && park->pollers[i].is_running)
		i++;
	if (i < park->nr_pollers)
		poller_start(park, &park->pollers[i]);
	pthread_mutex_unlock(&park->lock);
}

/* False: the poller was told to leave, or has been idle for long. */
static bool poller_turn(struct poller *poller)
{
	struct epoll_event ready[EVENTS_MAX];
	struct park *park = poller->park;
	bool was_last;
	int n;

	atomic_fetch_add(&park->nr_asleep, 1);
	n = epoll_wait(park->set, ready, EVENTS_MAX, poller->stays ? -1 : IDLE_MS);
	was_last = atomic_fetch_sub(&park->nr_asleep, 1) == 1;
	if (n == EVENTS_MAX && was_last)
		poller_add(park);
	for (int i = 0; i < n; i++) {
		if (ready[i].data.u64 == DATA_STOP)
			return false;
		serve_event(park, ready[i].data.u64, ready[i].events);
	}
	return n != 0;
}

static void poller_run(struct job *job)
{
	struct poller *poller = (struct poller *)job;
	struct park *park = poller->park;

	while (poller_turn(poller))
		;
	pthread_mutex_lock(&park->lock);
	poller->is_running = false;
	pthread_mutex_unlock(&park->lock);
}

static int open_set(struct park *park)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = DATA_STOP};
	int err;

	park->set = epoll_create1(EPOLL_CLOEXEC);
	if (park->set < 0)
		return -errno;
	park->stop = eventfd(0, EFD_CLOEXEC);
	if (park->stop < 0) {
		err = -errno;
		goto close_set;
	}
	if (epoll_ctl(park->set, EPOLL_CTL_ADD, park->stop, &event) == 0)
		return 0;
	err = -errno;
	close(park->stop);
close_set:
	close(park->set);
	return err;
}

int park_open(struct park *park, struct pool *pool, unsigned int nr_pollers)
{
	bool is_started;
	int err;

	park->pollers = calloc(nr_pollers, sizeof(*park->pollers));
	if (park->pollers == NULL)
		return -ENOMEM;
	park->nr_pollers = nr_pollers;
	park->pool = pool;
	err = open_set(park);
	if (err < 0)
		goto free_pollers;
	pthread_mutex_init(&park->lock, NULL);
	pthread_mutex_lock(&park->lock);
	park->pollers[0].stays = true;
	is_started = poller_start(park, &park->pollers[0]);
	pthread_mutex_unlock(&park->lock);
	if (is_started)
		return 0;
	err = -EAGAIN;
	pthread_mutex_destroy(&park->lock);
	close(park->stop);
	close(park->set);
free_pollers:
	free(park->pollers);
	return err;
}

void park_stop(struct park *park)
{
	/* Level-triggered and never reset: every poller sees it. */
	eventfd_write(park->stop, 1);
}

void park_fini(struct park *park)
{
	pthread_mutex_destroy(&park->lock);
	close(park->stop);
	close(park->set);
	waiters_fini(&park->waiters);
	free(park->pollers);
}

int park_attach(struct park *park, int fd)
{
	struct epoll_event event = {.events = EPOLLONESHOT, .data.u64 = fd};
	struct waiting *waiting;
	int err;

	pthread_mutex_lock(&park->lock);
	err = waiters_attach(&park->waiters, fd);
	if (err < 0)
		goto unlock;
	waiting = waiters_at(&park->waiters, fd);
	/* is_busy stays: a poller may still be leaving the previous file of this descriptor. */
	waiting->events = 0;
	waiting->untried = 0;
	waiting->never_waits = false;
	if (epoll_ctl(park->set, EPOLL_CTL_ADD, fd, &event) == 0)
		goto unlock;
	err = errno == EPERM ? 0 : -errno;
	waiting->never_waits = err == 0;
unlock:
	pthread_mutex_unlock(&park->lock);
	return err;
}

void park_detach(struct park *park, int fd)
{
	epoll_ctl(park->set, EPOLL_CTL_DEL, fd, NULL);
}

/* Lock held. */
static void add(struct park *park, struct threads_op *op)
{
	op->is_parked = true;
	atomic_store(&op->state, OP_WAITING);
	waiters_add(&park->waiters, &op->waiter);
}

void park_submit(struct park *park, struct threads_op *op)
{
	pthread_mutex_lock(&park->lock);
	add(park, op);
	arm(park, op->waiter.iocb->aio_fildes);
	pthread_mutex_unlock(&park->lock);
}

bool park_try(struct park *park, struct threads_op *op)
{
	int fd = op->waiter.iocb->aio_fildes;
	uint32_t wants = iocb_wants(op->waiter.iocb);
	bool waits;

	pthread_mutex_lock(&park->lock);
	if (!waiters_has(&park->waiters, fd, wants))
		waiters_at(&park->waiters, fd)->untried |= wants;
	add(park, op);
	serve(park, fd, 0);
	waits = atomic_load(&op->state) == OP_WAITING && waiters_at(&park->waiters, fd)->untried == 0;
	pthread_mutex_unlock(&park->lock);
	return waits;
}

void park_try_next(struct park *park, const struct iocb *iocb)
{
	int fd = iocb->aio_fildes;

	pthread_mutex_lock(&park->lock);
	if (waiters_has(&park->waiters, fd, iocb_wants(iocb))) {
		waiters_at(&park->waiters, fd)->untried |= iocb_wants(iocb);
		serve(park, fd, 0);
	}
	pthread_mutex_unlock(&park->lock);
}

int park_cancel(struct park *park, struct threads_op *op)
{
	enum op_state found;

	pthread_mutex_lock(&park->lock);
	found = threads_op_cancel(op);
	if (found == OP_WAITING)
		waiters_remove(&park->waiters, &op->waiter);
	pthread_mutex_unlock(&park->lock);
	if (found == OP_WAITING)
		threads_op_finish(op, -ECANCELED);
	return found == OP_DONE ? -ENOENT : 0;
}
