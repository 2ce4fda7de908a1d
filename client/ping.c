/* SPDX-License-Identifier: MIT */
/* taio ping: round trips over one connection, each compared byte by byte. */
#include "stream.h"

#include "base/hist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ping {
	const struct settings *settings;
	const char *target;
	struct stream *stream;
	bool each; /* print each round trip */
	unsigned char *sent, *got;
	struct hist hist; /* ns */
};

/* Every round trip has different bytes, so that a late echo of an earlier one does not match. */
static void fill(unsigned char *buf, size_t size, unsigned int trip)
{
	uint32_t x = 2654435769u * (trip + 1);

	for (size_t i = 0; i < size; i++) {
		x = x * 1664525u + 1013904223u;
		buf[i] = (unsigned char)(x >> 24);
	}
}

static int compare(const struct ping *ping, unsigned int trip)
{
	size_t i = 0, size = ping->settings->size;

	if (!memcmp(ping->sent, ping->got, size))
		return 0;
	while (ping->sent[i] == ping->got[i])
		i++;
	fail("round trip %u: byte %zu of %zu came back as 0x%02x instead of 0x%02x", trip, i + 1, size,
	     ping->got[i], ping->sent[i]);
	return -EBADMSG;
}

static int failed(struct ping *ping, unsigned int trip, int err)
{
	if (err != -EINTR)
		fail("round trip %u: %s", trip, stream_error(ping->stream, err));
	return err;
}

/*
 * Writes and reads in turn: the echo of more bytes than the sockets hold comes back before the last byte is
 * sent. 0 once all bytes are back, or -errno.
 */
static int exchange(struct ping *ping, uint64_t deadline_ns)
{
	size_t size = ping->settings->size, sent = 0, got = 0;
	ssize_t out, in;
	int err;

	while (got < size) {
		out = sent < size ? stream_write_some(ping->stream, ping->sent + sent, size - sent) : -EAGAIN;
		in = stream_read_some(ping->stream, ping->got + got, size - got);
		if (!in)
			return -ECONNRESET;
		if (out < 0 && out != -EAGAIN)
			return (int)out;
		if (in < 0 && in != -EAGAIN)
			return (int)in;
		sent += out > 0 ? (size_t)out : 0;
		got += in > 0 ? (size_t)in : 0;
		err = out < 0 && in < 0 ? client_wait(ping->stream->client, deadline_ns) : 0;
		if (err)
			return err;
	}
	return 0;
}

static int round_trip(struct ping *ping, unsigned int trip)
{
	uint64_t start_ns, ns;
	int err;

	fill(ping->sent, ping->settings->size, trip);
	start_ns = clock_ns();
	err = exchange(ping, deadline_in(ping->settings->timeout_us));
	ns = clock_ns() - start_ns;
	if (err)
		return failed(ping, trip, err);
	err = compare(ping, trip);
	if (err)
		return err;
	hist_add(&ping->hist, ns);
	if (ping->each)
		printf("%llu bytes from %s: trip=%u time=%.3f ms\n", (unsigned long long)ping->settings->size,
		       ping->target, trip, (double)ns / 1e6);
	return 0;
}

/* Waits until @ns. Anything the peer sends meanwhile belongs to no round trip and is an error. */
static int rest_until(struct ping *ping, uint64_t ns)
{
	unsigned char byte;
	ssize_t n;

	n = stream_read(ping->stream, &byte, 1, ns);
	if (n == -ETIMEDOUT)
		return 0;
	if (n == -EINTR)
		return -EINTR;
	if (n < 0)
		fail("connection lost: %s", stream_error(ping->stream, (int)n));
	else
		fail(n ? "the peer sent more bytes than it received" : "the peer closed the connection");
	return -ECONNRESET;
}

static int trips(struct ping *ping)
{
	const struct settings *settings = ping->settings;
	uint64_t next_ns = clock_ns();
	int err = 0;

	for (unsigned int trip = 1; !err; trip++) {
		err = round_trip(ping, trip);
		if (err || trip == settings->count)
			break;
		next_ns += settings->interval_us * 1000;
		if (next_ns > clock_ns())
			err = rest_until(ping, next_ns);
		else
			next_ns = clock_ns();
	}
	return err;
}

static void summarise(const struct ping *ping, const char *engine)
{
	static const struct {
		const char *name;
		double percent;
	} columns[] = {{"min", 0}, {"p50", 50}, {"p90", 90}, {"p99", 99}, {"max", 100}};
	const char *label = ping->hist.count == 1 ? "round trip" : "round trips";

	printf("%llu %s of %llu bytes with %s%s, engine %s\n", (unsigned long long)ping->hist.count, label,
	       (unsigned long long)ping->settings->size, ping->target, ping->stream->tls ? " over TLS" : "",
	       engine);
	for (size_t i = 0; ping->hist.count && i < sizeof(columns) / sizeof(columns[0]); i++)
		printf("%s%s %.3f", i ? "  " : "", columns[i].name,
		       (double)hist_percentile(&ping->hist, columns[i].percent) / 1e6);
	if (ping->hist.count)
		printf(" ms\n");
}

/* An interrupt is success if there is a round trip to report. */
static int ping_stream(struct ping *ping, const char *engine)
{
	int err;

	err = trips(ping);
	summarise(ping, engine);
	return err && !(err == -EINTR && ping->hist.count) ? 1 : 0;
}

static int ping_buffers(struct ping *ping)
{
	ping->sent = malloc(ping->settings->size);
	ping->got = malloc(ping->settings->size);
	if (ping->sent && ping->got)
		return 0;
	fail("out of memory");
	return -ENOMEM;
}

int ping_run(const struct settings *settings, const char *target)
{
	static struct ping ping;
	struct client client;
	int status = 1;

	ping.settings = settings;
	ping.target = target;
	ping.each = settings->verbose || isatty(STDOUT_FILENO);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ping_buffers(&ping))
		goto free_buffers;
	if (client_open(&client, settings))
		goto free_buffers;
	ping.stream = stream_open(&client, target, settings->tls, NULL);
	if (ping.stream)
		status = ping_stream(&ping, taio_name(client.ring));
	stream_close(ping.stream);
	client_close(&client);
free_buffers:
	free(ping.got);
	free(ping.sent);
	return status;
}
