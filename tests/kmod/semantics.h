/* SPDX-License-Identifier: MIT */
/*
 * kmod_semantics_test: what the manual in kmod/uapi/taio.h promises, promise by promise. Where it says "as on
 * the file itself" the same calls are made on the file and their results compared, so that the kernel that
 * runs is the oracle.
 */
#ifndef TAIO_TESTS_SEMANTICS_H
#define TAIO_TESTS_SEMANTICS_H

#include "kmod.h"

#include <netinet/in.h>

/* scratch.c: files, users and limits that several cases need. */

/* An unlinked regular file of @nbytes of pattern 0, on a file system that keeps its data in memory. */
int scratch_file(size_t nbytes);
/* Likewise in the directory that SCRATCH names: ext4 on a block device. */
int scratch_disk_file(size_t nbytes);
/* The block device that SLOW_DEVICE names, which takes 0.1 s for each request, open with @flags of open(2).
 */
int slow_device(int flags);
/* A UDP socket on a port of the loopback, whose address is in *addr then. */
int scratch_udp(struct sockaddr_in *addr);
/* Both ends in the pipe2(2) order. */
void scratch_pipe(int fds[2]);
/* Memory in which no page is there yet. */
char *scratch_memory(size_t nbytes);
/* What a class of file is called when a case runs over all of them. */
enum scratch_kind { SCRATCH_TCP, SCRATCH_PIPE, SCRATCH_TTY, SCRATCH_FILE, SCRATCH_NKINDS };
extern const char *const scratch_names[SCRATCH_NKINDS];
/* A file of that kind open for reading; [1] is what feeds it, or -1. */
void scratch_make(enum scratch_kind kind, int fds[2]);
/* Every descriptor that was not open at the start of the program and is none of the scene's links'. */
void scratch_close(const struct scene *s);

/* The calling thread becomes @uid, for good, and keeps only the capabilities of mask @caps (1 << CAP_...). */
void become_user(uid_t uid, uint64_t caps);
/* The calling thread's user for file accesses and what follows from it, until it is set back to 0. */
void act_as_user(uid_t uid);
/* Attaches with the default state and no flags, or fails the case. */
int wrap(int fd, enum taio_policy_id policy, uint32_t flags);
/* Likewise with exactly @state. */
int wrap_state(int fd, enum taio_policy_id policy, uint32_t flags, uint32_t state);
/* Waits until TAIO_IOC_INFO on @proxy tells of @n operations in flight. */
void until_inflight_(int proxy, unsigned int n);
#define until_inflight(proxy, n) (HERE(), until_inflight_(proxy, n))

/*
 * All helpers that the user may have are taken: one writes to a terminal that nobody reads, one reads from a
 * terminal where nobody writes, so that what is submitted next waits for a helper. jam_clear() lets things go
 * on.
 */
struct jam {
	struct ring ring;
	struct op ops[2];
	int full[2], idle[2]; /* terminals */
	long user_max;	      /* before */
	char byte;
};

void jam_start(struct jam *jam);
void jam_clear(struct jam *jam);
void jam_end(struct jam *jam);

#define HELPERS_MAX 64

/* Process ids of the kernel threads that are called taio/N; returns how many. */
unsigned int helpers_find(pid_t pids[HELPERS_MAX]);

#endif
