/* SPDX-License-Identifier: MIT */
/*
 * Owns a command's ring, its sleep and its signals. Called by the one thread of taio. Invariant: signals are
 * unblocked only inside client_wait(), so that none can arrive between the check of the flag and the sleep;
 * the ring is closed and O_NONBLOCK restored before a signal ends the process.
 */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ENTRIES 16
#define BATCH	8

static volatile sig_atomic_t signal_seen;
static volatile sig_atomic_t watched[_NSIG], watched_any; /* seen since it was taken */
static sigset_t signals_before;

static void on_signal(int number)
{
	signal_seen = number;
}

static void on_watched(int number)
{
	watched[number] = watched_any = 1;
}

/* A second signal of the same kind has its default effect, in case the first has none. */
static void take_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction before;

		sigaction(numbers[i], NULL, &before);
		if (before.sa_handler == SIG_IGN) /* nohup(1) */
			continue;
		sigaction(numbers[i], &action, NULL);
		sigaddset(&blocked, numbers[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, &signals_before);
	signal(SIGPIPE, SIG_IGN);
}

int client_signal(void)
{
	return signal_seen;
}

void client_watch_signal(int number)
{
	struct sigaction action = {.sa_handler = on_watched};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigdelset(&signals_before, number);
	sigaction(number, &action, NULL);
}

/* It is blocked: either its handler has run in client_wait(), or it is pending. */
bool client_take_signal(int number)
{
	static const struct timespec now;
	bool seen = watched[number];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	watched[number] = 0;
	return sigtimedwait(&set, NULL, &now) == number || seen;
}

void client_yield_to_signal(int number)
{
	struct sigaction none = {.sa_handler = SIG_DFL}, before;
	sigset_t set;

	sigaction(number, &none, &before);
	raise(number);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL); /* here */
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(number, &before, NULL);
}

int client_open(struct client *client, const struct settings *settings)
{
	struct taio_params params = {.engine = settings->engine, .entries = ENTRIES};
	char why[TAIO_WHY_LEN];
	int err;

	client->settings = settings;
	err = taio_open(&client->ring, &params, why);
	if (err) {
		fail("cannot open engine %s: %s", settings->engine, why);
		return err;
	}
	take_signals();
	return 0;
}

void client_close(struct client *client)
{
	taio_close(client->ring);
}

static int op_submit(struct client *client, struct op *op)
{
	struct iocb *iocbs[] = {&op->iocb};
	int ret;

	op->iocb.data = op;
	ret = taio_submit(client->ring, 1, iocbs);
	if (ret == 1)
		op->state = OP_IN_FLIGHT;
	return ret == 1 ? 0 : ret ? ret : -EAGAIN;
}

int op_read(struct client *client, struct op *op, int afd, void *buf, size_t len, off_t offset)
{
	io_prep_pread(&op->iocb, afd, buf, len, offset);
	return op_submit(client, op);
}

int op_write(struct client *client, struct op *op, int afd, const void *buf, size_t len, off_t offset)
{
	io_prep_pwrite(&op->iocb, afd, (void *)buf, len, offset);
	return op_submit(client, op);
}

int op_poll(struct client *client, struct op *op, int afd, short events)
{
	io_prep_poll(&op->iocb, afd, events);
	return op_submit(client, op);
}

static void take_events(const struct io_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		struct op *op = events[i].data;

		op->res = (long)events[i].res;
		op->state = OP_DONE;
	}
}

void op_end(struct client *client, struct op *op)
{
	struct io_event events[BATCH];

	if (op->state == OP_IN_FLIGHT)
		taio_cancel(client->ring, &op->iocb);
	while (op->state == OP_IN_FLIGHT)
		take_events(events, taio_wait(client->ring, BATCH, events, -1));
	op->state = OP_IDLE;
}

static bool is_interrupted(void)
{
	bool seen = signal_seen || watched_any;

	watched_any = 0;
	return seen;
}

/* For a caller that always finds an event and so never sleeps. */
static int let_signals_in(void)
{
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, &signals_before, &blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	return is_interrupted() ? -EINTR : 0;
}

/* ppoll(2) of the ring until @deadline_ns; -EINTR after a signal, 0 otherwise. */
static int sleep_until(struct client *client, uint64_t deadline_ns)
{
	struct pollfd pfd = {.fd = taio_fd(client->ring), .events = POLLIN};
	uint64_t now = clock_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
	struct timespec ts = {.tv_sec = (time_t)(left / NS_PER_SEC), .tv_nsec = (long)(left % NS_PER_SEC)};
	int ret;

	ret = ppoll(&pfd, 1, deadline_ns == NEVER_NS ? NULL : &ts, &signals_before);
	return ret < 0 && errno != EINTR ? -errno : is_interrupted() ? -EINTR : 0;
}

int client_wait(struct client *client, uint64_t deadline_ns)
{
	struct io_event events[BATCH];
	bool late = false;
	int n, err;

	for (;;) {
		n = taio_reap(client->ring, BATCH, events);
		if (n)
			break;
		if (late)
			return -ETIMEDOUT;
		err = sleep_until(client, deadline_ns);
		if (err)
			return err;
		late = deadline_ns != NEVER_NS && clock_ns() >= deadline_ns;
	}
	if (n < 0)
		return n;
	take_events(events, n);
	return let_signals_in();
}

uint64_t deadline_in(uint64_t us)
{
	uint64_t ns, sum;

	if (!us || __builtin_mul_overflow(us, NS_PER_US, &ns) || __builtin_add_overflow(clock_ns(), ns, &sum))
		return NEVER_NS;
	return sum;
}

static char *said;
static size_t said_size;

void fail_into(char *line, size_t size)
{
	said = line;
	said_size = size;
}

int fail(const char *fmt, ...)
{
	char line[4096];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	/* One line, whatever the user or the peer wrote. */
	for (char *p = line; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	if (said) {
		snprintf(said, said_size, "%s", line);
		return 1;
	}
	fflush(stdout);
	fprintf(stderr, "taio: %s\n", line);
	return 1;
}
