/* SPDX-License-Identifier: MIT */
/*
 * Engine poll: stock io_submit(2). Non-blocking PREAD/PWRITE iocbs move the data inside io_submit; where they
 * find none (-EAGAIN) an IOCB_CMD_POLL iocb waits in the kernel, is really cancelled by io_cancel(2), and
 * wakes us through the eventfd. Ring's thread only; the kernel and the helpers touch a slot only while
 * its state says so.
 *
 *            submit                  -EAGAIN               POLLIN/POLLOUT
 *   FREE ──────────────► TRY ──────────────────► POLL ─────────────────────► TRY ─► event
 *    └─► LATER ──(nothing else to do)──┘           └── io_cancel ─► event -ECANCELED
 *
 * Reads are not tried at once: an answer to what was just written cannot be there yet, but after one more
 * round of work it often is. So a read waits in the LATER list until the ring has nothing else to do, and
 * is tried then: a busy server neither polls nor sleeps. Where that guess keeps failing (few connections),
 * the POLL goes out in the same io_submit as the write, see guess_learn().
 *
 * Regular files: PREAD with RWF_NOWAIT serves what the page cache holds; what would block goes to a
 * helper (pool.h). O_DIRECT files are asynchronous in the stock kernel and left to it.
 */
#include "done.h"
#include "engine.h"
#include "pool.h"
#include "ringmap.h"
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define DRAIN_BATCH	64
#define GROUP_MIN	4
#define DEFAULT_HELPERS 16
#define GUESS_MAX	64

enum slot_state {
	SLOT_FREE,
	SLOT_LATER,  /* read that waits for the ring to run dry */
	SLOT_TRY,    /* transfer: in the submission queue, or in the kernel */
	SLOT_POLL,   /* POLL: in the submission queue, or in the kernel */
	SLOT_HELPER, /* class FILE: queued to a helper, run by it, or in the done list */
	SLOT_READY,  /* its event waits for reap */
};

struct slot {
	union {
		struct iocb k; /* TRY, POLL: the kernel reads it at submit and names it in the event */
		struct {       /* HELPER */
			struct job job;
			struct poll_ring *ring;
			long res;
		} h;
		struct { /* READY */
			long res;
		} r;
	};
	struct iocb *user;
	uint32_t next;	/* free list, ready list: index + 1 */
	uint8_t state;	/* enum slot_state */
	bool queued;	/* TRY, POLL: in sq, not in the kernel yet */
	bool cancelled; /* the caller wants its event sooner */
	bool guessed;	/* read whose first step tells whether the guess was right */
	uint8_t sleeps; /* POLL: ring->sleeps when it was queued */
	int epfd;	/* set that POLL waits on in place of a terminal, or -1 */
};

/* Slots linked by next: index + 1, 0 is none. */
struct fifo {
	uint32_t head, tail;
};

/* By descriptor. */
enum file_flags {
	FILE_NO_NOWAIT = 1, /* RWF_NOWAIT was refused: straight to a helper */
	FILE_DIRECT = 2,    /* O_DIRECT: io_submit(2) is asynchronous by itself */
};

struct poll_ring {
	struct taio taio;
	io_context_t ctx;
	bool mapped;
	uint8_t sleeps;	      /* counts reaps that found nothing; wraps */
	unsigned int guess;   /* 0..GUESS_MAX, above half: reads are tried later rather than polled */
	int64_t signals_owed; /* eventfd writes that belong to events seen, less those read back */

	struct slot *slots;
	uint32_t fresh, free; /* slots never used start at fresh; free list */
	struct fifo ready, later;
	unsigned int group; /* how many of later are tried at once */
	bool group_missed;  /* one of the last group found nothing */

	struct iocb **sq; /* for the next io_submit */
	unsigned int sq_len;

	uint8_t *file_flags;
	unsigned int nfile_flags;
	struct pool *pool; /* created by the first operation that would block */
	unsigned int helpers_max;
	struct done done;
};

static struct poll_ring *to_ring(struct taio *ring)
{
	return (struct poll_ring *)ring;
}

/* --- slots --- */

static struct slot *slot_alloc(struct poll_ring *r)
{
	struct slot *slot;

	if (r->free) {
		slot = &r->slots[r->free - 1];
		r->free = slot->next;
	} else {
		slot = &r->slots[r->fresh++];
	}
	slot->cancelled = false;
	slot->guessed = false;
	slot->epfd = -1;
	return slot;
}

static uint32_t slot_index(const struct poll_ring *r, const struct slot *slot)
{
	return (uint32_t)(slot - r->slots);
}

static void slot_free(struct poll_ring *r, struct slot *slot)
{
	if (slot->epfd >= 0)
		close(slot->epfd);
	slot->state = SLOT_FREE;
	slot->user = NULL;
	slot->next = r->free;
	r->free = slot_index(r, slot) + 1;
}

static struct slot *slot_of(const struct poll_ring *r, const struct iocb *iocb)
{
	struct slot *slot;

	if (iocb->key >= r->fresh)
		return NULL;
	slot = &r->slots[iocb->key];
	return slot->user == iocb ? slot : NULL;
}

static void fifo_put(struct poll_ring *r, struct fifo *fifo, struct slot *slot)
{
	uint32_t link = slot_index(r, slot) + 1;

	slot->next = 0;
	if (fifo->head)
		r->slots[fifo->tail - 1].next = link;
	else
		fifo->head = link;
	fifo->tail = link;
}

static struct slot *fifo_take(struct poll_ring *r, struct fifo *fifo)
{
	struct slot *slot;

	if (!fifo->head)
		return NULL;
	slot = &r->slots[fifo->head - 1];
	fifo->head = slot->next;
	return slot;
}

/* @slot is in it. Linear: for a cancel that comes before the operation has begun. */
static void fifo_remove(struct poll_ring *r, struct fifo *fifo, const struct slot *slot)
{
	uint32_t link = slot_index(r, slot) + 1, *at = &fifo->head, before = 0;

	while (*at != link) {
		before = *at;
		at = &r->slots[before - 1].next;
	}
	*at = slot->next;
	if (fifo->tail == link)
		fifo->tail = before;
}

/* The event is known outside of the kernel's ring: it waits here for reap. */
static void slot_ready(struct poll_ring *r, struct slot *slot, long res)
{
	slot->state = SLOT_READY;
	slot->r.res = res;
	fifo_put(r, &r->ready, slot);
}

static int ready_take(struct poll_ring *r, int nr, struct io_event *events)
{
	struct slot *slot;
	int n = 0;

	while (n < nr && (slot = fifo_take(r, &r->ready))) {
		event_fill(&events[n++], slot->user, slot->r.res);
		slot_free(r, slot);
	}
	return n;
}

/* --- what goes to the kernel --- */

static void queue(struct poll_ring *r, struct slot *slot, enum slot_state state)
{
	slot->state = state;
	slot->queued = true;
	r->sq[r->sq_len++] = &slot->k;
}

static void wake_by_eventfd(struct poll_ring *r, struct iocb *iocb)
{
	iocb->u.c.flags |= 1; /* IOCB_FLAG_RESFD */
	iocb->u.c.resfd = (unsigned int)r->taio.fd;
}

static void queue_try(struct poll_ring *r, struct slot *slot)
{
	int fd = slot->user->aio_fildes;

	slot->k = *slot->user;
	if (file_class(&r->taio, fd) == TAIO_CLASS_STREAM)
		slot->k.aio_rw_flags =
			0; /* O_NONBLOCK serves, and needs no RWF_NOWAIT in the file's driver */
	else if (r->file_flags[fd] & FILE_DIRECT)
		wake_by_eventfd(r, &slot->k);
	else
		slot->k.aio_rw_flags |= RWF_NOWAIT;
	queue(r, slot, SLOT_TRY);
}

static int events_of(const struct iocb *iocb)
{
	if (iocb->aio_lio_opcode == IO_CMD_POLL)
		return iocb->u.poll.events;
	return iocb_is_read(iocb) ? POLLIN : POLLOUT;
}

static void prepare_poll(struct poll_ring *r, struct slot *slot)
{
	if (slot->epfd >= 0)
		io_prep_poll(&slot->k, slot->epfd, POLLIN);
	else
		io_prep_poll(&slot->k, slot->user->aio_fildes, events_of(slot->user));
	wake_by_eventfd(r, &slot->k);
}

static void queue_poll(struct poll_ring *r, struct slot *slot)
{
	prepare_poll(r, slot);
	slot->sleeps = r->sleeps;
	queue(r, slot, SLOT_POLL);
}

/*
 * The kernel's aio can poll a file that has one wait queue, and refuses with -EINVAL what has two, as
 * terminals have. An epoll set has one: it is polled in the terminal's place. True: try again.
 */
static bool poll_by_set(struct poll_ring *r, struct slot *slot)
{
	struct epoll_event event = {.events = (uint32_t)events_of(slot->user)};

	if (slot->epfd >= 0)
		return false;
	slot->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (slot->epfd < 0 || epoll_ctl(slot->epfd, EPOLL_CTL_ADD, slot->user->aio_fildes, &event) < 0)
		return false;
	prepare_poll(r, slot);
	return true;
}

static void queue_helper(struct poll_ring *r, struct slot *slot);

/* io_submit(2) itself says no, and no event will come. False: @slot is to be submitted again. */
static bool refuse(struct poll_ring *r, struct slot *slot, int res)
{
	int fd = slot->user->aio_fildes;

	if (slot->state == SLOT_POLL && res == -EINVAL && poll_by_set(r, slot))
		return false;
	slot->queued = false;
	if (slot->state == SLOT_TRY && res == -EOPNOTSUPP && file_class(&r->taio, fd) == TAIO_CLASS_FILE &&
	    !(slot->user->aio_rw_flags & RWF_NOWAIT)) { /* a device that knows no RWF_NOWAIT */
		r->file_flags[fd] |= FILE_NO_NOWAIT;
		queue_helper(r, slot);
		return true;
	}
	slot_ready(r, slot, res);
	return true;
}

/* True if the kernel took or refused everything; false while its ring is full. */
static bool flush(struct poll_ring *r)
{
	unsigned int head = 0;

	while (head < r->sq_len) {
		struct slot *slot = (struct slot *)r->sq[head];
		int n = io_submit(r->ctx, (long)(r->sq_len - head), &r->sq[head]);

		if (n == -EAGAIN)
			break;
		for (int i = 0; i < n; i++)
			((struct slot *)r->sq[head + (unsigned int)i])->queued = false;
		if (n <= 0)
			n = refuse(r, slot, n ? n : -EIO);
		head += (unsigned int)n;
	}
	r->sq_len -= head;
	memmove(r->sq, r->sq + head, r->sq_len * sizeof(r->sq[0]));
	return r->sq_len == 0;
}

static void unqueue(struct poll_ring *r, struct slot *slot)
{
	for (unsigned int i = 0; i < r->sq_len; i++) {
		if (r->sq[i] != &slot->k)
			continue;
		r->sq_len--;
		memmove(&r->sq[i], &r->sq[i + 1], (r->sq_len - i) * sizeof(r->sq[0]));
		break;
	}
	slot->queued = false;
}

/* --- reads: now, later or when polled --- */

/*
 * @hit: the data was there by the time the ring ran dry, so that trying later found it or would have. Up
 * to half the range a POLL goes out at once, above it reads are tried later.
 */
static void guess_learn(struct poll_ring *r, struct slot *slot, bool hit)
{
	if (!slot->guessed)
		return;
	slot->guessed = false;
	if (hit && r->guess < GUESS_MAX)
		r->guess++;
	else if (!hit && r->guess)
		r->guess--;
}

static void read_start(struct poll_ring *r, struct slot *slot)
{
	if (!transfer_may_wait(slot->user)) {
		queue_try(r, slot);
		return;
	}
	slot->guessed = true;
	if (r->guess <= GUESS_MAX / 2) {
		queue_poll(r, slot);
		return;
	}
	slot->state = SLOT_LATER;
	fifo_put(r, &r->later, slot);
}

/*
 * The reads that have waited longest, in groups: while a group is handed out and answered, what answers the
 * rest arrives. A miss says that the group reached too far; it is never larger than what is handed out at
 * once, so that what is read is still in the cache when it is answered.
 */
static void try_some_later(struct poll_ring *r)
{
	struct slot *slot;

	if (r->group_missed)
		r->group = r->group / 2 > GROUP_MIN ? r->group / 2 : GROUP_MIN;
	else if (r->group < DRAIN_BATCH)
		r->group++;
	r->group_missed = false;
	for (unsigned int i = 0; i < r->group && (slot = fifo_take(r, &r->later)); i++)
		queue_try(r, slot);
}

/* --- class FILE: what would block goes to a helper --- */

static void help_run(struct job *job)
{
	struct slot *slot = (struct slot *)job;
	struct poll_ring *r = slot->h.ring;

	slot->h.res = transfer_now(slot->user, TAIO_CLASS_FILE);
	done_push(&r->done, job);
}

static void queue_helper(struct poll_ring *r, struct slot *slot)
{
	int ret = r->pool ? 0 : pool_create(&r->pool, r->helpers_max);

	if (!ret) {
		slot->h.job = (struct job){.run = help_run};
		slot->h.ring = r;
		slot->state = SLOT_HELPER;
		ret = pool_submit(r->pool, &slot->h.job, true);
	}
	if (ret)
		slot_ready(r, slot, ret);
}

/* --- what comes back from the kernel --- */

/* Each on_ function returns true when *res is the operation's result, false when another step was queued. */

static bool on_try_stream(struct poll_ring *r, struct slot *slot, long *res)
{
	if (*res != -EAGAIN) {
		guess_learn(r, slot, true);
		return true;
	}
	r->group_missed |= slot->guessed;
	guess_learn(r, slot, false);
	if (slot->cancelled) {
		*res = -ECANCELED;
		return true;
	}
	if (slot->user->aio_rw_flags & RWF_NOWAIT)
		return true;
	queue_poll(r, slot);
	return false;
}

static bool on_try_file(struct poll_ring *r, struct slot *slot, long *res)
{
	int fd = slot->user->aio_fildes;

	if (*res == -EOPNOTSUPP)
		r->file_flags[fd] |= FILE_NO_NOWAIT;
	if ((*res != -EAGAIN && *res != -EOPNOTSUPP) || slot->user->aio_rw_flags & RWF_NOWAIT ||
	    r->file_flags[fd] & FILE_DIRECT)
		return true;
	if (slot->cancelled) {
		*res = -ECANCELED;
		return true;
	}
	queue_helper(r, slot);
	return false;
}

static bool on_try(struct poll_ring *r, struct slot *slot, long *res)
{
	int fd = slot->user->aio_fildes;

	if (file_class(&r->taio, fd) == TAIO_CLASS_STREAM)
		return on_try_stream(r, slot, res);
	if (r->file_flags[fd] & FILE_DIRECT)
		r->signals_owed++;
	return on_try_file(r, slot, res);
}

/* What is ready, where a set was polled in the file's place. */
static long poll_now(const struct iocb *iocb)
{
	struct pollfd pfd = {.fd = iocb->aio_fildes, .events = (short)events_of(iocb)};

	return poll(&pfd, 1, 0) < 0 ? -errno : pfd.revents;
}

static bool on_poll(struct poll_ring *r, struct slot *slot, long *res)
{
	r->signals_owed++;
	guess_learn(r, slot, slot->sleeps == r->sleeps);
	if (slot->user->aio_lio_opcode == IO_CMD_POLL) {
		if (*res > 0 && slot->epfd >= 0)
			*res = poll_now(slot->user);
		if (*res == 0 && slot->cancelled)
			*res = -ECANCELED;
		return true;
	}
	/* What the peer sent stays in the file for another operation: nothing was taken yet. */
	if (slot->cancelled) {
		*res = -ECANCELED;
		return true;
	}
	if (*res < 0)
		return true;
	queue_try(r, slot);
	return false;
}

static int drain(struct poll_ring *r, int nr, struct io_event *events)
{
	struct io_event batch[DRAIN_BATCH];
	int n = 0, got;

	if (nr > DRAIN_BATCH)
		nr = DRAIN_BATCH;
	got = r->mapped ? ringmap_take(r->ctx, nr, batch) : ringmap_take_syscall(r->ctx, nr, batch);
	for (int i = 0; i < got; i++) {
		struct slot *slot = (struct slot *)batch[i].obj;
		long res = (long)batch[i].res;
		bool final = slot->state == SLOT_POLL ? on_poll(r, slot, &res) : on_try(r, slot, &res);

		if (!final)
			continue;
		event_fill(&events[n++], slot->user, res);
		slot_free(r, slot);
	}
	return n;
}

static void take_helped(struct poll_ring *r)
{
	struct job_list jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct job *job;

	done_take(&r->done, &jobs);
	if (STAILQ_EMPTY(&jobs))
		return;
	r->signals_owed++; /* done_push() signals once for each list that it begins */
	while ((job = STAILQ_FIRST(&jobs))) {
		struct slot *slot = (struct slot *)job;

		STAILQ_REMOVE_HEAD(&jobs, link);
		slot_ready(r, slot, slot->h.res);
	}
}

/*
 * Reads back the writes to the eventfd that belong to events already seen. A write that is still to come
 * (the kernel signals after it has filled the event) stays owed and costs one early wake-up; one that
 * belongs to an event not seen yet makes the count negative until that event is drained.
 */
static bool signals_read(struct poll_ring *r)
{
	uint64_t count;

	if (r->signals_owed <= 0 || read(r->taio.fd, &count, sizeof(count)) != sizeof(count))
		return false;
	r->signals_owed -= (int64_t)count;
	return true;
}

static int poll_reap(struct taio *ring, long nr, struct io_event *events)
{
	struct poll_ring *r = to_ring(ring);
	int room = nr > DRAIN_BATCH ? DRAIN_BATCH : (int)nr;

	for (;;) {
		int n = ready_take(r, room, events);

		n += drain(r, room - n, events + n);
		if (n)
			return n;
		if (r->sq_len) {
			flush(r);
			continue;
		}
		if (r->later.head) {
			try_some_later(r);
			continue;
		}
		if (r->pool)
			take_helped(r);
		if (r->ready.head || signals_read(r))
			continue;
		r->sleeps++;
		return 0;
	}
}

/* --- the caller's side --- */

static void start(struct poll_ring *r, struct iocb *iocb)
{
	struct slot *slot = slot_alloc(r);
	int fd = iocb->aio_fildes;

	slot->user = iocb;
	iocb->key = slot_index(r, slot);
	if (iocb->aio_lio_opcode == IO_CMD_POLL)
		queue_poll(r, slot);
	else if (file_class(&r->taio, fd) == TAIO_CLASS_STREAM && iocb_is_read(iocb))
		read_start(r, slot);
	else if (file_class(&r->taio, fd) == TAIO_CLASS_FILE && r->file_flags[fd] & FILE_NO_NOWAIT &&
		 !(iocb->aio_rw_flags & RWF_NOWAIT))
		queue_helper(r, slot);
	else
		queue_try(r, slot);
}

static int poll_submit(struct taio *ring, long nr, struct iocb **iocbs)
{
	struct poll_ring *r = to_ring(ring);

	for (long i = 0; i < nr; i++)
		start(r, iocbs[i]);
	flush(r);
	return (int)nr;
}

static int poll_cancel(struct taio *ring, struct iocb *iocb)
{
	struct poll_ring *r = to_ring(ring);
	struct slot *slot = slot_of(r, iocb);
	struct io_event unused;

	if (!slot || slot->state == SLOT_READY)
		return -ENOENT;
	slot->cancelled = true;
	if (slot->queued) {
		unqueue(r, slot);
		slot_ready(r, slot, -ECANCELED);
	} else if (slot->state == SLOT_LATER) {
		fifo_remove(r, &r->later, slot);
		slot_ready(r, slot, -ECANCELED);
	} else if (slot->state == SLOT_HELPER && pool_withdraw(r->pool, &slot->h.job)) {
		slot_ready(r, slot, -ECANCELED);
	} else if (slot->state == SLOT_POLL) {
		/* -EINPROGRESS: its event comes; -EINVAL: it has fired, and its event comes as well. */
		io_cancel(r->ctx, &slot->k, &unused);
	}
	return 0;
}

static int poll_attach(struct taio *ring, int fd, enum taio_class class)
{
	struct poll_ring *r = to_ring(ring);
	int flags;

	if (class == TAIO_CLASS_STREAM)
		return stream_unblock(fd) ?: fd;
	if (r->nfile_flags < ring->nfiles) {
		uint8_t *bigger = realloc(r->file_flags, ring->nfiles);

		if (!bigger)
			return -ENOMEM;
		r->file_flags = bigger;
		r->nfile_flags = ring->nfiles;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	r->file_flags[fd] = flags & O_DIRECT ? FILE_DIRECT : 0;
	return fd;
}

/* --- opening and closing --- */

/* Pages that are never touched cost nothing, so a large ring is as cheap as what is in flight on it. */
static void *reserve(size_t nmemb, size_t size)
{
	void *p = mmap(NULL, nmemb * size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void unreserve(void *p, size_t nmemb, size_t size)
{
	if (p)
		munmap(p, nmemb * size);
}

static long sysctl_read(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

static void explain_setup(int err, unsigned int entries, char *why)
{
	long max = sysctl_read("/proc/sys/fs/aio-max-nr"), used = sysctl_read("/proc/sys/fs/aio-nr");

	if (err == -EAGAIN && max >= 0)
		snprintf(why, TAIO_WHY_LEN,
			 "io_setup: fs.aio-max-nr is %ld, %ld are taken, %u more are needed: sysctl -w "
			 "fs.aio-max-nr=%ld",
			 max, used, entries, 2 * (used + (long)entries));
	else if (err == -ENOSYS)
		snprintf(why, TAIO_WHY_LEN,
			 "io_setup: this kernel has no aio (CONFIG_AIO), or a seccomp filter hides it");
	else
		snprintf(why, TAIO_WHY_LEN, "io_setup for %u operations: %s", entries, strerror(-err));
}

static void ring_free(struct poll_ring *r, unsigned int entries)
{
	unreserve(r->slots, entries, sizeof(r->slots[0]));
	unreserve(r->sq, entries, sizeof(r->sq[0]));
	free(r->file_flags);
	free(r);
}

static int poll_open(struct taio **ring, const struct taio_params *params, char *why)
{
	struct poll_ring *r = calloc(1, sizeof(*r));
	int ret = -ENOMEM;

	if (!r)
		goto say;
	r->slots = reserve(params->entries, sizeof(r->slots[0]));
	r->sq = reserve(params->entries, sizeof(r->sq[0]));
	if (!r->slots || !r->sq)
		goto free_ring;
	r->taio.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->taio.fd < 0) {
		ret = -errno;
		goto free_ring;
	}
	ret = io_setup((int)params->entries, &r->ctx);
	if (ret < 0) {
		explain_setup(ret, params->entries, why);
		close(r->taio.fd);
		ring_free(r, params->entries);
		return ret;
	}
	r->mapped = ringmap_usable(r->ctx, !(params->flags & TAIO_REAP_SYSCALL));
	r->group = DRAIN_BATCH;
	r->helpers_max = params->helpers_max ? params->helpers_max : DEFAULT_HELPERS;
	done_init(&r->done, r->taio.fd);
	*ring = &r->taio;
	return 0;
free_ring:
	ring_free(r, params->entries);
say:
	snprintf(why, TAIO_WHY_LEN, "cannot open a ring of %u operations: %s", params->entries,
		 strerror(-ret));
	return ret;
}

/* io_destroy(2) cancels the POLLs and returns when the kernel has let go of every iocb. */
static void poll_close(struct taio *ring)
{
	struct poll_ring *r = to_ring(ring);

	io_destroy(r->ctx);
	for (uint32_t i = 0; i < r->fresh; i++) {
		if (r->slots[i].state != SLOT_FREE && r->slots[i].epfd >= 0)
			close(r->slots[i].epfd);
	}
	if (r->pool)
		pool_destroy(r->pool);
	done_fini(&r->done);
	close(ring->fd);
	ring_free(r, ring->entries);
}

const struct engine engine_poll = {
	.name = "poll",
	.full_name = "poll",
	.summary = "stock io_submit: IOCB_CMD_POLL waits, non-blocking iocbs transfer",
	.open = poll_open,
	.close = poll_close,
	.attach = poll_attach,
	.submit = poll_submit,
	.cancel = poll_cancel,
	.reap = poll_reap,
};
