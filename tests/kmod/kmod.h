/* SPDX-License-Identifier: MIT */
/*
 * The tests of taio.ko by its own interface: stock io_submit(2) and io_cancel(2) on proxies of /dev/taio.
 *
 * A program is its TEST_CASE()s and a call of kmod_main(). Each case runs in a process of its own, as root,
 * once for each policy (INLINE off and on) and each kind of file that it names. After each case the module
 * must be as it was: no operation in flight, every reference to submitters' state dropped, its own reference
 * count back.
 */
#ifndef TAIO_TESTS_KMOD_H
#define TAIO_TESTS_KMOD_H

#include "kmod/uapi/taio.h"
#include "tests/case/check.h"
#include "tests/case/link.h"
#include "tests/case/op.h"
#include "tests/case/pattern.h"
#include "tests/case/process.h"
#include "tests/case/runner.h"

#include <libaio.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What the proxies stand for. Terminals and files have policy BLOCK whatever is asked for. */
enum {
	LINK_PARKABLE = LINK_TCP | LINK_PIPE,
	LINK_STREAMS = LINK_PARKABLE | LINK_TTY,
	LINK_KILLABLE = LINK_PARKABLE | LINK_FILE,
};

/* One aio context, used by one thread at a time. */
struct ring {
	io_context_t ctx;
	unsigned int inflight; /* submitted less events taken */
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

enum case_flags {
	CASE_ONCE = 1 << 0,  /* not of one policy: runs once a kind, with BLOCK and no flags in the scene */
	CASE_LONG = 1 << 1,  /* depends on the moment: its time grows with --rounds and --kills */
	CASE_BLOCK = 1 << 2, /* policy BLOCK alone */
	CASE_KEEPS = 1 << 3, /* the counters' settling is the case's own affair */
	CASE_PLAIN = 1 << 4, /* without INLINE */
	/* policy WORKER alone, or with BLOCK those two; left out where the kernel has no workers */
	CASE_WORKER = 1 << 5,
};

/*
 * harness.c: runs the cases chosen on the command line (--case GLOB, --policy block|park|task|worker, --link KIND,
 * --rounds N, --kills N, --seed N, --list). Returns main()'s value: 0, 1, 2 for usage, or 77 without
 * /dev/taio.
 */
int kmod_main(int argc, char **argv, case_fn *finish);

/* scene.c: opens the scene's ring. scene_finish() is called by the runner: nothing may be in flight then. */
void scene_ring(struct scene *s, unsigned int entries);
/* Makes a link and its proxies. */
struct link *scene_link(struct scene *s);
/* Both. */
struct link *scene_open(struct scene *s, unsigned int entries);
void scene_finish(struct scene *s);
void link_attach(struct scene *s, struct link *link);
void link_detach(struct link *link);
/* Another one in its place. */
void link_renew(struct scene *s, struct link *link);
/*
 * TCP and pipes: writes zeros until no byte more has room (a pipe is made one page long); returns how many.
 */
size_t link_fill(struct link *link, enum link_kind kind);

/* module.c: the device and what the module says of itself. */
/* Each returns a descriptor or -errno. */
int taio_attach_raw(const struct taio_ioc_attach *attach);
int taio_attach(int fd, enum taio_policy_id policy, uint32_t flags);
/* Is there policy WORKER? Not before Linux 6.10, and only where the kernel has CONFIG_VHOST_TASK. */
bool has_workers(void);
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

/* ring.c: submits operations and takes their events. */
void ring_open(struct ring *ring, unsigned int entries);
/* Nothing may be in flight. */
void ring_close(struct ring *ring);
/* 1 or -errno. */
int op_try(struct ring *ring, struct op *op);
void op_start_(struct ring *ring, struct op *op);
/*
 * 0: io_cancel(2) has asked the operation to end. -EINVAL: it is not there (any more). Else the case fails.
 */
int op_cancel_(struct ring *ring, struct op *op);
/* Takes events, waiting at most @timeout_ms for the first one; returns how many. Signals do not end it. */
int collect(struct ring *ring, int timeout_ms);
long await_(struct ring *ring, struct op *op);
/* No event comes within a short while. */
void stay_quiet_(struct ring *ring);

/* util.c: chance, stages, descriptors. */
uint64_t random_below(uint64_t bound);
void random_seed(uint64_t seed);
/* A word that processes share: until it is at least @value, or the case fails. */
void stage_await_(_Atomic int *stage, int value);
/* Descriptors over an AF_UNIX socket. */
void fd_send(int sock, int fd);
int fd_receive(int sock);

#define op_start(ring, op)	  (HERE(), op_start_(ring, op))
#define op_cancel(ring, op)	  (HERE(), op_cancel_(ring, op))
#define await(ring, op)		  (HERE(), await_(ring, op))
#define stay_quiet(ring)	  (HERE(), stay_quiet_(ring))
#define stage_await(stage, value) (HERE(), stage_await_(stage, value))

#endif
