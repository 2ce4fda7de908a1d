/* SPDX-License-Identifier: MIT */
/*
 * taio ping: round trips over one connection, each compared byte by byte; with --resume, over a connection
 * each, whose handshakes are full and resumed in turn.
 */
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
	struct hist hist;	   /* ns */
	struct hist full, resumed; /* handshakes with --resume */
	unsigned int nasked;	   /* of them were to be resumed */
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

/* With --resume nothing more is read of the connection, which has been ended. */
static ssize_t read_until(struct ping *ping, unsigned char *byte, uint64_t ns)
{
	int err;

	if (!ping->settings->resume)
		return stream_read(ping->stream, byte, 1, ns);
	do {
		err = client_wait(ping->stream->client, ns);
	} while (!err);
	return err;
}

/* Waits until @ns. Anything the peer sends meanwhile belongs to no round trip and is an error. */
static int rest_until(struct ping *ping, uint64_t ns)
{
	unsigned char byte;
	ssize_t n;

	n = read_until(ping, &byte, ns);
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

static void note_handshake(struct ping *ping, unsigned int trip)
{
	struct tls_info info;

	tls_info(ping->stream->tls, &info);
	hist_add(info.resumed ? &ping->resumed : &ping->full, ping->stream->handshake_ns);
	if (ping->each)
		printf("%s handshake with %s: trip=%u time=%.3f ms\n", info.resumed ? "resumed" : "full",
		       ping->target, trip, (double)ping->stream->handshake_ns / 1e6);
}

/* Every second connection resumes the session of the one before, which has brought its ticket by now. */
static int reconnect(struct ping *ping, unsigned int trip)
{
	bool is_resumed = trip % 2 == 0;
	struct stream *next;

	next = stream_reopen(ping->stream, ping->target, is_resumed);
	if (!next)
		return client_signal() ? -EINTR : -ECONNREFUSED;
	ping->nasked += is_resumed;
	stream_close(ping->stream);
	ping->stream = next;
	return 0;
}

/* A peer that keeps sessions itself forgets one whose connection ends without close_notify. */
static int trip_with_connection(struct ping *ping, unsigned int trip)
{
	int err = trip > 1 ? reconnect(ping, trip) : 0;

	if (err)
		return err;
	note_handshake(ping, trip);
	err = round_trip(ping, trip);
	if (err)
		return err;
	err = stream_end(ping->stream, deadline_in(ping->settings->timeout_us));
	return err ? failed(ping, trip, err) : 0;
}

static int trips(struct ping *ping)
{
	const struct settings *settings = ping->settings;
	uint64_t next_ns = clock_ns();
	int err = 0;

	for (unsigned int trip = 1; !err; trip++) {
		err = settings->resume ? trip_with_connection(ping, trip) : round_trip(ping, trip);
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

static void print_percentiles(const struct hist *hist)
{
	static const struct {
		const char *name;
		double percent;
	} columns[] = {{"min", 0}, {"p50", 50}, {"p90", 90}, {"p99", 99}, {"max", 100}};

	for (size_t i = 0; hist->count && i < sizeof(columns) / sizeof(columns[0]); i++)
		printf("%s%s %.3f", i ? "  " : "", columns[i].name,
		       (double)hist_percentile(hist, columns[i].percent) / 1e6);
	if (hist->count)
		printf(" ms\n");
}

static void print_handshakes(const struct hist *hist, const char *kind)
{
	printf("%llu %s handshake%s\n", (unsigned long long)hist->count, kind, hist->count == 1 ? "" : "s");
	print_percentiles(hist);
}

static void summarise(const struct ping *ping, const char *engine)
{
	const char *label = ping->hist.count == 1 ? "round trip" : "round trips";

	printf("%llu %s of %llu bytes with %s%s, engine %s\n", (unsigned long long)ping->hist.count, label,
	       (unsigned long long)ping->settings->size, ping->target, ping->stream->tls ? " over TLS" : "",
	       engine);
	print_percentiles(&ping->hist);
	if (!ping->settings->resume)
		return;
	print_handshakes(&ping->full, "full");
	print_handshakes(&ping->resumed, "resumed");
}

/* Some of them resumed is success: the figures tell how many. */
static int check_resumed(const struct ping *ping)
{
	if (!ping->nasked || ping->resumed.count)
		return 0;
	fail("%s has resumed none of %u sessions", ping->target, ping->nasked);
	return -EPROTO;
}

/* An interrupt is success if there is a round trip to report. */
static int ping_stream(struct ping *ping, const char *engine)
{
	int err;

	err = trips(ping);
	summarise(ping, engine);
	if (!err || (err == -EINTR && ping->hist.count))
		err = check_resumed(ping);
	return err ? 1 : 0;
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

	if (settings->resume && !settings->tls) {
		fail("--resume needs --tls");
		return 2;
	}
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
