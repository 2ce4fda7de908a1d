/* SPDX-License-Identifier: MIT */
/*
 * The access log: a file, a queue for each worker, and a thread that takes lines from the queues to the file.
 *
 * A worker never waits: what its queue has no room for is lost, and counted. What the file does not take (it
 * is full, say) is lost, too; the log tells when that begins and when it is over. A file that hangs holds up
 * the thread alone. Each configuration has an access log of its own, so that a reload opens the file anew;
 * the one before ends by itself once it has written what it has.
 */
#ifndef ACCESS_LOG_H
#define ACCESS_LOG_H

#include "access_format.h"

struct access_log;
struct access_queue;

struct access_log_params {
	const char *path; /* "-": standard output */
	const char *format;
	size_t queue; /* bytes of each queue, ACCESS_LINE_MAX or more; rounded up to a power of two */
	unsigned int nqueues;
};

/* For the option table: checks a path. */
int access_log_check(const char *path, char *why);

/* Main thread. Opens the file, which is appended to, and starts the thread. -errno and why[ACCESS_WHY_LEN].
 */
int access_log_open(struct access_log **log, const struct access_log_params *params, char *why);

/*
 * Main thread. Opens the path again, for whoever has renamed the file; what was put before this goes to the
 * file as it was. 0; or -errno, and it goes on with what it has. Either is logged. NULL is allowed.
 */
int access_log_reopen(struct access_log *log);

/* Any thread, once nobody puts anything. Returns at once; NULL is allowed. */
void access_log_close(struct access_log *log);

/* Waits until all that were closed have written what they had. False: they have not within @ms, which is
 * logged. */
bool access_log_wait(unsigned int ms);

/* Lines written, and lost, by all. Any thread. */
void access_log_count(uint64_t *written, uint64_t *lost);

/* Queue @i, for one thread. */
struct access_queue *access_log_queue(struct access_log *log, unsigned int i);

/* Puts a line. Does not wait, and allocates nothing. */
void access_queue_put(struct access_queue *queue, const struct access_entry *entry);

#endif
