/* SPDX-License-Identifier: MIT */
/* taio cancel-read: one read, cancelled while it waits. */
#include "stream.h"

#include <errno.h>
#include <string.h>

struct cancelled {
	long res;
	uint64_t read_ns;   /* from submission to event */
	uint64_t cancel_ns; /* from taio_cancel() to event */
};

/* "-ECANCELED (Operation canceled)", "12 bytes", "end of input" */
static void describe(long res, char *text, size_t len)
{
	if (res > 0)
		snprintf(text, len, "%ld byte%s", res, res == 1 ? "" : "s");
	else if (!res)
		snprintf(text, len, "end of input");
	else
		snprintf(text, len, "-%s (%s)", strerrorname_np((int)-res), strerror((int)-res));
}

static int cancel_now(struct stream *s, struct cancelled *result)
{
	uint64_t start_ns = clock_ns();
	int ret, err = 0;

	/* -ENOENT: the event is already waiting to be reaped. */
	ret = taio_cancel(s->client->ring, &s->rd.iocb);
	if (ret && ret != -ENOENT)
		return fail("cannot cancel: %s", strerror(-ret));
	while (!err && s->rd.state == OP_IN_FLIGHT)
		err = client_wait(s->client, deadline_in(s->client->settings->timeout_us));
	if (err == -ETIMEDOUT)
		return fail("the cancelled read did not complete within --timeout");
	result->cancel_ns = clock_ns() - start_ns;
	result->res = s->rd.res;
	return err ? 1 : 0;
}

/*
 * Submits the read and waits. What TLS consumes itself, such as session tickets, does not count as data: the
 * read is submitted again, and its time starts again.
 */
static ssize_t read_until(struct stream *s, uint64_t deadline_ns, uint64_t *submit_ns)
{
	char byte;
	ssize_t n;
	int err = 0;

	while (!err) {
		if (s->rd.state == OP_IDLE)
			*submit_ns = clock_ns();
		n = stream_read_some(s, &byte, 1);
		if (n != -EAGAIN)
			return n;
		err = client_wait(s->client, deadline_ns);
	}
	return err;
}

static int came_first(const struct stream *s, ssize_t n, uint64_t waited_ns)
{
	double ms = (double)waited_ns / 1e6;

	if (n == -EINTR)
		return 1;
	if (n < 0)
		return fail("nothing to cancel: the read failed after %.3f ms: %s", ms,
			    stream_error(s, (int)n));
	if (!n)
		return fail("nothing to cancel: the peer closed the connection after %.3f ms", ms);
	return fail("nothing to cancel: data arrived after %.3f ms", ms);
}

static int cancel_read(struct stream *s, uint64_t after_us)
{
	uint64_t submit_ns = clock_ns(), deadline_ns = submit_ns + after_us * 1000;
	struct cancelled result = {0};
	char text[128];
	ssize_t n;

	n = read_until(s, deadline_ns, &submit_ns);
	if (n != -ETIMEDOUT)
		return came_first(s, n, clock_ns() - submit_ns);
	if (cancel_now(s, &result))
		return 1;
	describe(result.res, text, sizeof(text));
	printf("read: %s after %.3f ms\n", text, (double)(clock_ns() - submit_ns) / 1e6);
	printf("cancel: event %.1f us after taio_cancel(), engine %s\n", (double)result.cancel_ns / 1e3,
	       taio_name(s->client->ring));
	if (result.res == -ECANCELED)
		return 0;
	return fail("the read was not cancelled");
}

int cancel_read_run(const struct settings *settings, const char *target)
{
	struct stream *stream;
	struct client client;
	int status = 1;

	if (client_open(&client, settings))
		return 1;
	stream = stream_open(&client, target, settings->tls, NULL);
	if (stream)
		status = cancel_read(stream, settings->after_us);
	stream_close(stream);
	client_close(&client);
	return status;
}
