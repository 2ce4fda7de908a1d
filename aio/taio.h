/* SPDX-License-Identifier: MIT */
/*
 * libtaio: one completion interface in libaio's terms, several engines behind it.
 *
 * A ring belongs to the thread that opened it: submit, cancel, reap, wait, attach and detach are called
 * there and nowhere else. The engines may use threads of their own; the caller never sees them.
 *
 * The contract, the same for every engine (tests/engine holds each to it):
 *  - submit gives an iocb and its buffer to the engine; they come back in exactly one io_event;
 *  - submit never blocks, whatever the file is;
 *  - events are handed out by taio_reap() and taio_wait() alone, never from inside submit or cancel;
 *  - cancel asks for that event sooner and gives nothing back. When it races with data the event reports
 *    the bytes; otherwise its result is -ECANCELED. Never both, never neither;
 *  - a ring that cannot take more says -EAGAIN and keeps what it has.
 *
 * Functions return 0 or a count, or a negative errno; they do not set errno.
 */
#ifndef TAIO_H
#define TAIO_H

#include <libaio.h>
#include <stdbool.h>
#include <stddef.h>

struct taio;

/* Room for every message that taio_open() and taio_probe() write. */
#define TAIO_WHY_LEN 256

enum taio_flags {
	/* Reap by io_getevents(2) even where the kernel's ring is mapped and known (Valgrind forces this). */
	TAIO_REAP_SYSCALL = 1 << 0,
};

struct taio_params {
	const char *engine;   /* "NAME[:POLICY]"; NULL or "auto": the first that works here */
	unsigned int entries; /* operations in flight at most; 0: 256 */

	/*
	 * Engines poll and kmod: slots of fs.aio-max-nr to begin with; more are taken as operations need
	 * them, up to entries. 0: 256, or as few as 64 where no more are free.
	 */
	unsigned int slots;
	unsigned int helpers_max; /* cap on helper threads of this ring; 0: the engine's default */
	unsigned int flags;	  /* enum taio_flags */
};

/*
 * Opens a ring. On failure returns -errno, leaves *ring alone and writes one line to why[0..TAIO_WHY_LEN),
 * which may be NULL: what failed and what to do about it. Where fs.aio-max-nr is exhausted (-EAGAIN) the
 * line names the sysctl and its present value. An engine name that does not exist is -EINVAL.
 * With "auto", why tells on success which engine was chosen and why.
 *
 * Engine threads:block claims a real-time signal, SIGRTMIN+7, for the whole process and for good, from the
 * first such ring on (taio_probe() opens one): -EBUSY if it has a handler by then. Leave its handler alone
 * afterwards; blocking it does no harm.
 */
int taio_open(struct taio **ring, const struct taio_params *params, char *why);

/*
 * Opens @n rings of one engine, or none: for several threads that are to work alike. "auto" takes the first
 * engine of which there can be so many: a first ring may leave too little of fs.aio-max-nr for a second.
 */
int taio_open_rings(struct taio **rings, unsigned int n, const struct taio_params *params, char *why);

/* How many operations can be in flight at once without taking more slots. */
unsigned int taio_capacity(const struct taio *ring);

/* Whether there is room for @nr operations in flight at once, or for entries if that is less. */
bool taio_has_room(const struct taio *ring, unsigned int nr);

/*
 * Makes such room. 0, or -EAGAIN: fs.aio-max-nr is exhausted, and the ring stays as large as it is. Without
 * this call taio_submit() makes room as it needs it, and is short or says -EAGAIN where there is none.
 */
int taio_reserve(struct taio *ring, unsigned int nr);

/* The slots of io_setup(2), which all processes share. */
struct taio_slots {
	long taken, max; /* fs.aio-nr, fs.aio-max-nr */
	int pid;	 /* the process that holds most of them, as far as may be seen; 0: none */
	long held;	 /* about, by it */
	char comm[16];
};

/* Whether the ring stands on them: engines poll and kmod. */
bool taio_takes_slots(const struct taio *ring);

/*
 * With @holder the maps of all processes are read, which takes a while. 0, or -ENOENT: no aio in this
 * kernel.
 */
int taio_slots(struct taio_slots *slots, bool holder);

/* "40 of fs.aio-max-nr = 65536 slots are taken, about 32 of them by nginx (pid 17)". */
void taio_slots_text(const struct taio_slots *slots, char *text, size_t size);

/*
 * Cancels what is in flight, waits until the engine has let go of every iocb and buffer, and frees the
 * ring. Events not reaped by then are dropped. NULL is allowed.
 *
 * It detaches nothing, since what is attached may have been closed by then: O_NONBLOCK of a stream that was
 * not detached stays as the engine has set it (set, or by engine kmod, where there is a proxy, cleared).
 */
void taio_close(struct taio *ring);

/* "poll", "epoll", "threads:block", ...: what taio_open() chose. Lives as long as the ring. */
const char *taio_name(const struct taio *ring);

/*
 * A file descriptor that polls readable when taio_reap() may have something to give. Only taio_reap()
 * resets it. Never read, close or submit it.
 *
 * Engine kmod:task transfers in the ring's thread, and wakes it for that. In this thread system calls of
 * signal(7) that no SA_RESTART restarts, epoll_wait(2) and io_getevents(2) among them, may then fail with
 * EINTR though no handler has run; poll(2), ppoll(2), select(2) and taio_wait() do not. Take it as "call
 * taio_reap()".
 */
int taio_fd(const struct taio *ring);

/* Operations given to the ring and not handed out by reap yet. */
unsigned int taio_inflight(const struct taio *ring);

/* How the file behind a descriptor makes its reader wait. */
enum taio_class {
	TAIO_CLASS_ASK,	   /* the engine finds out by fstat(2) */
	TAIO_CLASS_STREAM, /* socket, pipe, tty, eventfd: waits for the peer; pollable */
	TAIO_CLASS_FILE,   /* regular file or block device: waits for the disk; never pollable */
};

/*
 * Makes @fd known to the ring; returns the descriptor to name in iocbs (aio_fildes), which may be another
 * one than @fd (engine kmod: a proxy), or -errno (-EEXIST: already attached; -EISDIR: a directory;
 * -EOPNOTSUPP: a signalfd, for which engines poll and kmod cannot wait). O_NONBLOCK of a stream's open file
 * description is the engine's from here to taio_detach(), which leaves it as it was: engines in user space
 * set it, engine kmod clears it. All who share that description, by dup(2) or fork(2), see it meanwhile; of
 * two that are attached, detach the second first. @fd stays the caller's to close, after taio_detach().
 *
 * What a call on @fd answers at once (-EBADF for the wrong end of a pipe, -ENOTCONN, -EINVAL for 4 bytes of
 * an eventfd, 0 for a FIFO without a writer) is an event at once, too, or as soon as no read (write) waits
 * ahead of it on @fd. A poll holds nothing up. An exception is an array of iovecs that are all empty: on a
 * connected socket it may wait until that is ready.
 *
 * Signals do not fit: what a signalfd has to say depends on the thread that asks.
 *  - Engines poll and kmod know one by /proc/self/fd. Where /proc is not mounted it is attached all the
 *    same, and a signal that comes while an operation waits is no event.
 *  - They do not look into an epoll set, which may be given a signalfd at any time. A signal that makes the
 *    set ready may be missed, namely if it comes in the midst of a submit or a cancel on this ring; then the
 *    next one may be seen. Timers, eventfds and all else in a set are always seen.
 *  - Engines threads see signals to the process, but not those to one thread (raise(3), pthread_kill(3)).
 *  - Engine epoll asks in the ring's thread, and sees all that are for it.
 */
int taio_attach(struct taio *ring, int fd, enum taio_class class);

/*
 * Undoes taio_attach(); @afd is what it returned. Every operation on it must have come back by then.
 * To be called before close(2): closing does not end an operation (the engine pins the file).
 */
void taio_detach(struct taio *ring, int afd);

/* Descriptors that taio_attach() opens for each one that is attached: 0 or 1. They count against
 * RLIMIT_NOFILE. */
unsigned int taio_attach_fds(const struct taio *ring);

/*
 * Starts up to @nr operations in order; returns how many were taken, or -errno if the very first was not:
 * -EAGAIN (ring full, or no slots left in fs.aio-max-nr), -EBADF (not attached), -EINVAL (opcode, or an iocb
 * with flags set; a completion fd is the engine's business). The first that was not taken, and all after it,
 * are still the caller's.
 *
 * Opcodes: IO_CMD_PREAD, IO_CMD_PWRITE, IO_CMD_PREADV, IO_CMD_PWRITEV; IO_CMD_POLL on streams. The offset
 * counts for class FILE only. A positive short count is a success. aio_rw_flags: RWF_NOWAIT turns
 * waiting into an -EAGAIN event, other flags are -EINVAL. iocb->key is the engine's from submit to event,
 * as it is the kernel's in io_submit(2). iovec arrays must stay until the event, like buffers. A write to
 * a stream whose peer is gone raises SIGPIPE unless the process ignores it, as io_submit(2) does.
 */
int taio_submit(struct taio *ring, long nr, struct iocb **iocbs);

/*
 * Asks for @iocb's event sooner. 0: the event comes soon, with bytes or -ECANCELED (an operation that has
 * gone past the point of no return, such as a disk read, still reports its own result). -ENOENT: not in
 * flight; its event was handed out, or is waiting for reap.
 */
int taio_cancel(struct taio *ring, struct iocb *iocb);

/*
 * Hands out up to @nr events without blocking; returns how many. After it returned 0 nothing waits for a
 * system call of ours: the caller may sleep on taio_fd(). After any other count, call again before sleeping.
 * event.obj is the iocb, event.data its data, event.res the byte count or -errno (poll: the revents mask).
 */
int taio_reap(struct taio *ring, long nr, struct io_event *events);

/*
 * taio_reap() that sleeps until there is at least one event or @timeout_ms have passed (-1: for ever).
 * Returns the count, 0 on timeout, -EINTR if a signal handler ran first.
 */
int taio_wait(struct taio *ring, long nr, struct io_event *events, int timeout_ms);

/* One row of `taio engines`. */
struct taio_probe {
	const char *name;    /* "threads:park" */
	const char *summary; /* how a read waits */
	bool works;
	char why[TAIO_WHY_LEN]; /* if not: what is missing, and what to do about it */
};

/*
 * Probes the @i-th engine by doing (one operation submitted and reaped). Returns false past the last one.
 */
bool taio_probe(unsigned int i, struct taio_probe *probe);

#endif
