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

#include <stdbool.h>
#include <stdint.h>

struct client {
	struct taio *ring;
	const struct settings *settings;
};

/*
 * One operation: IN_FLIGHT from submit to event, DONE until its owner has looked at res and made it IDLE. The
 * buffer is the engine's while the operation is in flight.
 */
enum op_state { OP_IDLE, OP_IN_FLIGHT, OP_DONE };

struct op {
	struct iocb iocb;
	enum op_state state;
	long res;
};

/* Opens the ring and takes over SIGINT, SIGTERM and SIGHUP. 0, or -errno reported on standard error. */
int client_open(struct client *client, const struct settings *settings);
void client_close(struct client *client);

/* Each starts an IDLE operation. 0, or -errno if the ring refused it. */
int op_read(struct client *client, struct op *op, int afd, void *buf, size_t len, off_t offset);
int op_write(struct client *client, struct op *op, int afd, const void *buf, size_t len, off_t offset);
int op_poll(struct client *client, struct op *op, int afd, short events);

/* Cancels @op if it is in flight, waits for its event and makes it IDLE. res says what it transferred. */
void op_end(struct client *client, struct op *op);

/*
 * Sleeps until an operation is DONE: 0. -ETIMEDOUT at @deadline_ns (of clock_ns()), -EINTR once
 * a signal has come.
 */
int client_wait(struct client *client, uint64_t deadline_ns);

/* The signal that came, or 0. */
int client_signal(void);

/*
 * A signal that is no end: it interrupts client_wait() (-EINTR), too. To be called after client_open(), for
 * few.
 */
void client_watch_signal(int number);
/* Whether it has come since it was asked last. */
bool client_take_signal(int number);
/* Has it take its default effect now. */
void client_yield_to_signal(int number);

/* @us from now; 0 is NEVER_NS. */
uint64_t deadline_in(uint64_t us);

/* What fail() says goes to line[size] from now on, while a screen shows it; NULL: to standard error again. */
void fail_into(char *line, size_t size);

/* "taio: ..." as one line on standard error; returns 1, the exit status of a failure. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * A command: returns the exit status and has reported any failure. @operand is "" if the command takes
 * none.
 */
typedef int command_fn(const struct settings *settings, const char *operand);

#define COMMAND_RUN(id, name) command_fn name##_run;
COMMANDS(COMMAND_RUN)
#undef COMMAND_RUN

#endif
