/* SPDX-License-Identifier: MIT */
/*
 * The tests of taio.ko by its own interface: stock io_submit(2) and io_cancel(2) on proxies of /dev/taio.
 *
 * A program is a table of cases given to kmod_main(). Each case runs in a process of its own, as root, once
 * for each policy (INLINE off and on) and each kind of file that it names. CHECK and its relatives end the
 * process; nothing is unwound after a failure. They may be used from any thread and in children of the case.
 * After each case the runner demands that no process is left and that the module is as it was: no operation
 * in flight, every reference to submitters' state dropped, its own reference count back.
 */
#ifndef TAIO_TESTS_KMOD_H
#define TAIO_TESTS_KMOD_H

#include "kmod/uapi/taio.h"

#include <libaio.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What the proxies stand for. A mask in tables. */
enum link_kind {
	LINK_NONE = 1 << 0, /* the case makes what it needs */
	LINK_TCP = 1 << 1,
	LINK_PIPE = 1 << 2,
	LINK_TTY = 1 << 3,  /* terminal side of a pseudo-terminal, raw; policy BLOCK whatever is asked for */
	LINK_FILE = 1 << 4, /* likewise BLOCK; no far end */

	LINK_PARKABLE = LINK_TCP | LINK_PIPE,
	LINK_STREAMS = LINK_PARKABLE | LINK_TTY,
	LINK_KILLABLE = LINK_PARKABLE | LINK_FILE,
};

/*
 * One connection: the near end belongs to the proxies, the far end to the test, which uses plain blocking
 * system calls on it. A pipe link is two pipes. -1: closed.
 */
struct link {
	int in, out;		 /* near end; the same descriptor unless it is a pipe */
	int proxy_in, proxy_out; /* of the near end; likewise */
	int peer_in, peer_out;	 /* far end */
};

/* One aio context, used by one thread at a time. */
struct ring {
	io_context_t ctx;
	unsigned int inflight; /* submitted less events taken */
};

/* An operation and what came back for it. It stays where it is until its event. */
struct op {
	struct iocb iocb;
	uint64_t seq;	     /* a submission's own; a late second event of an earlier one shows by it */
	long res;	     /* valid when events is 1 */
	unsigned int events; /* more than one is a failure on the spot */
};

#define SCENE_LINKS 256

/* What a case works with. */
struct scene {
	enum taio_policy_id policy;
	uint32_t flags; /* of attach: TAIO_ATTACH_INLINE, _COOP or 0 */
	enum link_kind kind;
	long rounds; /* of a race, in this variant */
	long kills;  /* likewise */
	struct ring ring;
	struct link *links[SCENE_LINKS];
	unsigned int nlinks;
};

typedef void case_fn(struct scene *s);

enum case_flags {
	CASE_ONCE = 1 << 0,  /* not of one policy: runs once a kind, with BLOCK and no flags in the scene */
	CASE_LONG = 1 << 1,  /* depends on the moment: its time grows with --rounds and --kills */
	CASE_BLOCK = 1 << 2, /* policy BLOCK alone */
	CASE_KEEPS = 1 << 3, /* the counters' settling is the case's own affair */
};

struct test_case {
	const char *name;
	case_fn *run;
	unsigned int links; /* mask of enum link_kind */
	unsigned int flags;
};

#define CASE(fn, ...)                                                                                        \
	{                                                                                                    \
		.name = #fn, .run = fn, __VA_ARGS__                                                          \
	}
#define ON(mask) .links = LINK_##mask
#define AS(mask) .flags = (mask)

/*
 * harness.c: runs the cases chosen on the command line (--case GLOB, --policy block|park|task, --link KIND,
 * --rounds N, --kills N, --seed N, --list). Returns main()'s value: 0, 1, 2 for usage, or 77 without
 * /dev/taio.
 */
int kmod_main(int argc, char **argv, const struct test_case *cases, unsigned int ncases);

/* scene.c: opens the scene's ring. scene_finish() is called by the runner: nothing may be in flight then. */
void scene_ring(struct scene *s, unsigned int entries);
/* Makes a link and its proxies. */
struct link *scene_link(struct scene *s);
void scene_finish(struct scene *s);

/* link.c: the files. */
void link_make(struct link *link, enum link_kind kind);
void link_attach(struct scene *s, struct link *link);
void link_detach(struct link *link);
void link_destroy(struct link *link);
void link_peer_close(struct link *link);
/* TCP and pipes: writes zeros until no byte more has room (a pipe is made one page long); returns how many.
 */
size_t link_fill(struct link *link, enum link_kind kind);
/* The far end writes or reads exactly @nbytes, or fails the case. */
void peer_write(struct link *link, const void *buf, size_t nbytes);
void peer_read(struct link *link, void *buf, size_t nbytes);
/* Exactly @nbytes of @fd by plain read(2), or the case fails. */
void fd_read(int fd, void *buf, size_t nbytes);
/* Reads what there is without waiting, whatever the flags of @fd; 0 if there is nothing. */
size_t fd_read_some(int fd, void *buf, size_t nbytes);
bool is_readable(int fd, int timeout_ms);
void fd_close(int *fd);
/* Descriptors over an AF_UNIX socket. */
void fd_send(int sock, int fd);
int fd_receive(int sock);

/* Byte @offset of the endless stream number @seed. */
void pattern_fill(void *buf, size_t nbytes, uint64_t offset, uint64_t seed);
void pattern_check_(const void *buf, size_t nbytes, uint64_t offset, uint64_t seed);

/* module.c: the device and what the module says of itself. */
/* Each returns a descriptor or -errno. */
int taio_attach_raw(const struct taio_ioc_attach *attach);
int taio_attach(int fd, enum taio_policy_id policy, uint32_t flags);
/* As the scene says, close-on-exec; a refusal fails the case. */
int proxy_make(const struct scene *s, int fd);
/* TAIO_IOC_CANCEL: how many were asked to end. */
unsigned int proxy_cancel(int proxy);
void proxy_info(int proxy, struct taio_ioc_info *info);
struct counter {
	char name[48];
	uint64_t value;
};
#define COUNTERS_MAX 64
/* The lines of /sys/kernel/debug/taio/counters; returns how many. */
unsigned int counters_get(struct counter *counters, unsigned int max);
/* One of them; no such line fails the case. */
uint64_t counter_get(const char *name);
/* /sys/module/taio/parameters/NAME; returns the value before. */
long param_set(const char *name, long value);
long param_get(const char *name);
long module_refcnt(void);
/* Waits until the module is idle, or describes in @why what it still holds and returns false. */
bool module_settles(long refcnt, int timeout_ms, char *why, size_t whylen);

/* ring.c: operations. op_read() and the like prepare the iocb and clear what came back; start submits it. */
void ring_open(struct ring *ring, unsigned int entries);
/* Nothing may be in flight. */
void ring_close(struct ring *ring);
void op_read(struct op *op, int fd, void *buf, size_t nbytes);
void op_write(struct op *op, int fd, const void *buf, size_t nbytes);
void op_readv(struct op *op, int fd, const struct iovec *iov, int niov);
void op_writev(struct op *op, int fd, const struct iovec *iov, int niov);
void op_poll(struct op *op, int fd, int events);
/* 1 or -errno. */
int op_try(struct ring *ring, struct op *op);
void op_start_(struct ring *ring, struct op *op);
/* 0: io_cancel(2) has asked the operation to end. -EINVAL: it is not there (any more). Else the case fails.
 */
int op_cancel_(struct ring *ring, struct op *op);
/* Takes events, waiting at most @timeout_ms for the first one; returns how many. Signals do not end it. */
int collect(struct ring *ring, int timeout_ms);
long await_(struct ring *ring, struct op *op);
/* No event comes within a short while. */
void stay_quiet_(struct ring *ring);

/* util.c: time, chance, processes, failure. */
int64_t now_ms(void);
/* Sleeps its time however often it is interrupted. */
void pause_ms(unsigned int ms);
uint64_t random_below(uint64_t bound);
void random_seed(uint64_t seed);
void pin_to_cpu(unsigned int cpu);
/* A child that runs @run and exits with 0; it never returns to the runner. */
pid_t child_start(void (*run)(void *arg), void *arg);
/* Waits for the child's end; one that cannot be reaped in time fails the case with its tasks' states. */
int child_reap_(pid_t pid, int timeout_ms);
/* wait(2) status of @pid into @status; false if it has not ended in time. */
bool child_ends(pid_t pid, int timeout_ms, int *status);
/* Zeroed memory that children share; never freed. */
void *shared_make(size_t nbytes);
/* A word in it: until it is at least @value, or the case fails. */
void stage_await_(_Atomic int *stage, int value);
/* State, wait channel and kernel stack of each of its threads, on stdout. */
void stacks_print(pid_t pid);

/* Failure reports go to memory that the runner shares. */
struct place {
	const char *file;
	int line;
};

struct report {
	_Atomic(const struct place *) at; /* the last line of the case that was begun */
	atomic_flag failed;		  /* the first failure speaks */
	char failure[512];
	char note[200];
};

extern struct report *report;

_Noreturn void fail_at(const struct place *place, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* One line beside the result. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define HERE()                                                                                               \
	({                                                                                                   \
		static const struct place here_ = {__FILE__, __LINE__};                                      \
		atomic_store_explicit(&report->at, &here_, memory_order_relaxed);                            \
		&here_;                                                                                      \
	})

/* Where the caller's caller stands. */
#define THERE() atomic_load(&report->at)

#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		const struct place *place_ = HERE();                                                         \
		if (!(condition))                                                                            \
			fail_at(place_, "%s", #condition);                                                   \
	} while (0)

#define CHECK_EQ(got, want)                                                                                  \
	do {                                                                                                 \
		const struct place *place_ = HERE();                                                         \
		long got_ = (long)(got), want_ = (long)(want);                                               \
		if (got_ != want_)                                                                           \
			fail_at(place_, "%s is %ld, not %s = %ld", #got, got_, #want, want_);                \
	} while (0)

/* For calls that return -1 and set errno; gives their value. */
#define SYS(call)                                                                                            \
	({                                                                                                   \
		const struct place *place_ = HERE();                                                         \
		long ret_ = (long)(call);                                                                    \
		if (ret_ < 0)                                                                                \
			fail_at(place_, "%s: %m", #call);                                                    \
		(int)ret_;                                                                                   \
	})

#define pattern_check(buf, nbytes, offset, seed) (HERE(), pattern_check_(buf, nbytes, offset, seed))
#define op_start(ring, op)			 (HERE(), op_start_(ring, op))
#define op_cancel(ring, op)			 (HERE(), op_cancel_(ring, op))
#define await(ring, op)				 (HERE(), await_(ring, op))
#define stay_quiet(ring)			 (HERE(), stay_quiet_(ring))
#define stage_await(stage, value)		 (HERE(), stage_await_(stage, value))
#define child_reap(pid, timeout_ms)		 (HERE(), child_reap_(pid, timeout_ms))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
