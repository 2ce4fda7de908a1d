/* SPDX-License-Identifier: MIT */
/*
 * The ring of a command, the operations on it and the sleep between them. taio is one thread; nothing here is
 * called from a signal handler.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "options.h"

#include "aio/taio.h"
#include "base/clock.h"

#include <stdint.h>

struct client {
	struct taio *ring;
	const struct settings *settings;
};

/*
 * One operation: FLYING from submit to event, DONE until its owner has looked at res and made it IDLE. The
 * buffer is the engine's while it flies.
 */
enum op_state { OP_IDLE, OP_FLYING, OP_DONE };

struct op {
	struct iocb iocb;
	enum op_state state;
	long res;
};

/* Opens the ring and takes SIGINT, SIGTERM and SIGHUP over. -errno, reported on standard error. */
int client_open(struct client *client, const struct settings *settings);
void client_close(struct client *client);

/* Each starts an IDLE operation; -errno if the ring did not take it. */
int op_read(struct client *client, struct op *op, int afd, void *buf, size_t len, off_t offset);
int op_write(struct client *client, struct op *op, int afd, const void *buf, size_t len, off_t offset);
int op_poll(struct client *client, struct op *op, int afd, short events);

/* Cancels what flies and waits for its event; what it transferred is in res. The operation is IDLE then. */
void op_end(struct client *client, struct op *op);

/*
 * Sleeps until an operation is DONE: 0. -ETIMEDOUT at @deadline_ns (of clock_ns()), -EINTR once
 * a signal has come.
 */
int client_wait(struct client *client, uint64_t deadline_ns);

/* The signal that came, or 0. */
int client_signal(void);

/* @us from now; 0 is NEVER_NS. */
uint64_t deadline_in(uint64_t us);

/* "taio: ..." as one line on standard error; returns 1, the exit status of a failure. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The commands: exit status, everything reported. @operand is "" for a command that takes none. */
int engines_run(const struct settings *settings, const char *operand);
int cat_run(const struct settings *settings, const char *operand);
int get_run(const struct settings *settings, const char *operand);
int ping_run(const struct settings *settings, const char *operand);
int cancel_read_run(const struct settings *settings, const char *operand);

#endif
