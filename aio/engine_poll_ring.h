/* SPDX-License-Identifier: MIT */
/*
 * Engine poll's ring: the kernel context, the slots, the lists that they wait in, the submission queue and
 * the account of the eventfd. engine_poll.c decides what an operation does next, this keeps it
 * meanwhile. Engine kmod's ring has it inside. Ring's thread only.
 */
#ifndef TAIO_ENGINE_POLL_RING_H
#define TAIO_ENGINE_POLL_RING_H

#include "done.h"
#include "engine.h"
#include "pool.h"

enum slot_state {
	SLOT_FREE,
	SLOT_LATER,  /* read that waits for the ring to run dry */
	SLOT_TRY,    /* transfer: in the submission queue, or in the kernel */
	SLOT_POLL,   /* POLL: in the submission queue, or in the kernel */
	SLOT_WAIT,   /* on a proxy: likewise; its event is the operation's */
	SLOT_HELPER, /* class FILE: queued to a helper, run by it, or in the done list */
	SLOT_READY,  /* its event waits for reap */
};

/* One operation. The kernel and the helpers touch a slot only while its state says so. */
struct slot {
	union {
		struct iocb k; /* TRY, POLL, WAIT: the kernel reads it at submit and names it in the event */
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
	uint32_t next;	/* in a fifo or the free list: index + 1 */
	uint8_t state;	/* enum slot_state */
	bool queued;	/* TRY, POLL, WAIT: in sq, not in the kernel yet */
	bool cancelled; /* the caller wants its event sooner */
	bool guessed;	/* read whose first step tells whether the guess was right */
	uint8_t sleeps; /* POLL, WAIT: ring->sleeps when it was queued */
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
	FILE_PROXY = 4,	    /* engine kmod's: an operation waits in the kernel by itself */
};

struct poll_ring {
	/* engine_poll_ring.c writes these; ready_put() and the sq_ functions are the way in. */
	struct taio taio;
	io_context_t ctx;
	bool mapped;	      /* ctx can be reaped without a system call */
	int64_t signals_owed; /* eventfd writes that belong to events seen, less those read back */
	struct slot *slots;
	uint32_t fresh, free; /* slots never used start at fresh; free list */
	struct fifo ready;
	struct iocb **sq; /* for the next io_submit */
	unsigned int sq_len;

	/* engine_poll.c writes these, engine_poll_files.c file_flags. */
	struct fifo later;
	uint8_t sleeps;	    /* counts reaps that found nothing; wraps */
	unsigned int guess; /* 0..GUESS_MAX, above half: reads are tried later rather than polled */
	unsigned int group; /* how many of later are tried at once */
	bool group_missed;  /* one of the last group found nothing */
	bool waits_only;    /* what has a proxy is not tried first */
	uint8_t *file_flags;
	unsigned int nfile_flags;
	struct pool *pool; /* created by the first operation that would block */
	unsigned int helpers_max;
	struct done done;
};

/* As taio_open(). @r is zero, and what engine_poll.c writes stays so, but for done. */
int poll_ring_init(struct poll_ring *r, const struct taio_params *params, char *why);

/* Returns when the kernel has let go of every iocb. pool and file_flags are gone by then. */
void poll_ring_fini(struct poll_ring *r);

/* Engine kmod's: an operation that can wait in the kernel by itself. */
static inline bool has_proxy(const struct poll_ring *r, const struct iocb *iocb)
{
	unsigned int fd = (unsigned int)iocb->aio_fildes;

	return fd < r->nfile_flags && r->file_flags[fd] & FILE_PROXY && iocb->aio_lio_opcode != IO_CMD_POLL;
}

/* There is one: ring.c never has more in flight than entries. */
struct slot *slot_alloc(struct poll_ring *r);
void slot_free(struct poll_ring *r, struct slot *slot);

/* The slot of an operation in flight, or NULL. */
struct slot *slot_of(const struct poll_ring *r, const struct iocb *iocb);

static inline uint32_t slot_index(const struct poll_ring *r, const struct slot *slot)
{
	return (uint32_t)(slot - r->slots);
}

void fifo_put(struct poll_ring *r, struct fifo *fifo, struct slot *slot);
struct slot *fifo_take(struct poll_ring *r, struct fifo *fifo);

/* @slot is in it. Linear: for a cancel that comes before the operation has begun. */
void fifo_remove(struct poll_ring *r, struct fifo *fifo, const struct slot *slot);

/* The event is known outside of the kernel's ring: it waits for ready_take(). */
void ready_put(struct poll_ring *r, struct slot *slot, long res);
int ready_take(struct poll_ring *r, int nr, struct io_event *events);

/* slot->k is for the next sq_flush(); state is TRY, POLL or WAIT. */
void sq_put(struct poll_ring *r, struct slot *slot, enum slot_state state);
void sq_remove(struct poll_ring *r, struct slot *slot);

/*
 * io_submit(2) says no to the first in the queue, and no event will come. True: it is dealt with otherwise
 * and leaves the queue; false: slot->k is another one now, to be submitted again. May not touch the queue.
 */
typedef bool refuse_fn(struct poll_ring *r, struct slot *slot, int res);

/* Gives the queue to the kernel, as far as that has room. */
void sq_flush(struct poll_ring *r, refuse_fn *refuse);

/* Each event that comes with an eventfd write, once it is seen. */
static inline void signal_owed(struct poll_ring *r)
{
	r->signals_owed++;
}

/*
 * Reads back the eventfd writes that belong to events already seen; true: look for events once more. A write
 * that is still to come (the kernel signals after it has filled the event) stays owed and costs one early
 * wake-up; one that belongs to an event not seen yet makes the count negative until that event is seen.
 */
bool signals_read(struct poll_ring *r);

#endif
