/* SPDX-License-Identifier: MIT */
/*
 * Engine poll's ring: the kernel's contexts, the operations, the lists that they wait in, the submission
 * queue and the account of the eventfd. engine_poll.c decides what an operation does next, this keeps it
 * meanwhile. Engine kmod's ring has it inside. Ring's thread only.
 */
#ifndef TAIO_ENGINE_POLL_RING_H
#define TAIO_ENGINE_POLL_RING_H

#include "done.h"
#include "engine.h"
#include "pool.h"
#include "slots.h"

/* Where an operation is. Written by the function that moves it there. */
enum op_state {
	OP_FREE,
	OP_LATER,     /* read that waits for the ring to run dry */
	OP_QUEUED,    /* in the submission queue */
	OP_IN_KERNEL, /* from io_submit(2) to its event */
	OP_HELPER,    /* class FILE: queued to a helper, run by it, or in the done list */
	OP_READY,     /* its event waits for reap */
};

/* What is asked of the kernel: what an operation's iocb is while it is QUEUED or IN_KERNEL. */
enum kernel_op {
	KERNEL_TRY,  /* the transfer, which does not wait */
	KERNEL_POLL, /* IOCB_CMD_POLL; a try follows */
	KERNEL_WAIT, /* the transfer on a proxy, which waits; its event is the operation's */
};

/* One operation. The kernel and the helpers touch it only while its state says so. */
struct poll_op {
	union {
		struct iocb k; /* QUEUED, IN_KERNEL: the kernel names it in the event */
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
	uint32_t next;	/* in a fifo: slot + 1; FREE: the slots' */
	uint8_t state;	/* enum op_state */
	uint8_t kind;	/* enum kernel_op */
	bool cancelled; /* the caller wants its event sooner */
	bool guessed;	/* read whose first step tells whether the guess was right */
	uint8_t sleeps; /* KERNEL_POLL, _WAIT: ring->sleeps when it was queued */
	uint8_t ctx;	/* IN_KERNEL: index of its context */
	int epfd;	/* set that is polled in place of a terminal, or -1 */
};

/* Operations linked by next: slot + 1, 0 is none. */
struct fifo {
	uint32_t head, tail;
};

/* By descriptor. */
enum file_flags {
	FILE_NO_NOWAIT = 1, /* RWF_NOWAIT was refused: straight to a helper */
	FILE_DIRECT = 2,    /* O_DIRECT: io_submit(2) is asynchronous by itself */
	FILE_PROXY = 4,	    /* engine kmod's: an operation waits in the kernel by itself */
};

/*
 * A context of io_setup(2). It cannot be enlarged, so a ring takes another when its operations need one, as
 * large as all before it together: a ring has few contexts, however large it has become.
 */
struct poll_ctx {
	io_context_t id;
	unsigned int room, inflight; /* operations */
};

#define POLL_CTXS_MAX 32

struct poll_ring {
	/* engine_poll_ring.c writes these; ready_put() and the sq_ functions are the way in. */
	struct taio taio;
	struct poll_ctx ctxs[POLL_CTXS_MAX];
	unsigned int nctxs, turn; /* turn: the context that is reaped first */
	unsigned int max;	  /* of operations, for which memory is reserved */
	bool mapped;		  /* contexts can be reaped without a system call */
	int64_t signals_owed;	  /* eventfd writes that belong to events seen, less those read back */
	struct slots slots;
	struct poll_op *ops; /* by slot */
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

/* As taio_open(). @r is all zero; what engine_poll.c writes stays so, except done. */
int poll_ring_init(struct poll_ring *r, const struct taio_params *params, char *why);

/* engine.grow. */
void poll_grow(struct taio *ring, unsigned int wanted);

/* Takes up to @nr events from the contexts, each in turn. */
int poll_take(struct poll_ring *r, int nr, struct io_event *events);

/* Returns when the kernel has let go of every iocb. pool and file_flags must be freed before. */
void poll_ring_fini(struct poll_ring *r);

/* Engine kmod's: an operation that can wait in the kernel by itself. */
static inline bool has_proxy(const struct poll_ring *r, const struct iocb *iocb)
{
	unsigned int fd = (unsigned int)iocb->aio_fildes;

	return fd < r->nfile_flags && r->file_flags[fd] & FILE_PROXY && iocb->aio_lio_opcode != IO_CMD_POLL;
}

/* Cannot fail: ring.c never has more in flight than entries. */
struct poll_op *poll_op_alloc(struct poll_ring *r);
void poll_op_free(struct poll_ring *r, struct poll_op *op);

/* The operation in flight that @iocb stands for, or NULL. */
struct poll_op *poll_op_of(const struct poll_ring *r, const struct iocb *iocb);

static inline uint32_t poll_op_slot(const struct poll_ring *r, const struct poll_op *op)
{
	return (uint32_t)(op - r->ops);
}

void fifo_put(struct poll_ring *r, struct fifo *fifo, struct poll_op *op);
struct poll_op *fifo_take(struct poll_ring *r, struct fifo *fifo);

/* @op is in it. Linear: for a cancel that comes before the operation has begun. */
void fifo_remove(struct poll_ring *r, struct fifo *fifo, const struct poll_op *op);

/* For a result that does not come through the kernel's ring: it waits for ready_take(). */
void ready_put(struct poll_ring *r, struct poll_op *op, long res);
int ready_take(struct poll_ring *r, int nr, struct io_event *events);

/* op->k, which is a @kind, is for the next sq_flush(). */
void sq_put(struct poll_ring *r, struct poll_op *op, enum kernel_op kind);
void sq_remove(struct poll_ring *r, struct poll_op *op);

/*
 * io_submit(2) has refused the first in the queue, and there will be no event. True: it was dealt with
 * otherwise and leaves the queue; false: op->k has changed and is to be submitted again. May not touch the
 * queue.
 */
typedef bool refuse_fn(struct poll_ring *r, struct poll_op *op, int res);

/* Gives the queue to the kernel, as far as there is room. */
void sq_flush(struct poll_ring *r, refuse_fn *refuse);

/* To be called for each event that comes with an eventfd write, once it is seen. */
static inline void signal_owed(struct poll_ring *r)
{
	r->signals_owed++;
}

/*
 * Reads back the eventfd writes that belong to events already seen; true: look for events once more. A write
 * that is still to come (the kernel signals after it has filled the event) stays owed and costs one spurious
 * wake-up; one that belongs to an event not seen yet makes the count negative until that event is seen.
 */
bool signals_read(struct poll_ring *r);

#endif
