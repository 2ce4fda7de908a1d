/* SPDX-License-Identifier: MIT */
/*
 * Owns a connection of the client from connect to close. Called by the one thread of taio. Invariant:
 * out[out_pos..out_len) is what the kernel has not taken yet; a write in flight names a prefix of it, so
 * bytes may be appended but not moved.
 */
#include "stream.h"

#include "base/addr.h"
#include "base/proxy_header.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define ADDRS_MAX 8

/* Takes the result of a finished write and starts the next one. 0, or -errno if nothing more can be sent. */
static int stream_kick(struct stream *s)
{
	if (s->wr.state == OP_DONE) {
		s->wr.state = OP_IDLE;
		if (s->wr.res < 0)
			s->broken = (int)s->wr.res;
		else
			s->out_pos += (size_t)s->wr.res;
	}
	if (s->broken || s->wr.state == OP_IN_FLIGHT)
		return s->broken;
	if (s->out_pos == s->out_len)
		s->out_pos = s->out_len = 0;
	else
		s->broken =
			op_write(s->client, &s->wr, s->afd, s->out + s->out_pos, s->out_len - s->out_pos, 0);
	return s->broken;
}

/* Makes input available in in[in_pos..in_len): 1, 0 at the end, -EAGAIN while a read is in flight, -errno. */
static int stream_fill(struct stream *s)
{
	int err;

	if (s->in_pos < s->in_len)
		return 1;
	if (s->eof)
		return 0;
	if (s->rd.state == OP_IDLE) {
		err = op_read(s->client, &s->rd, s->afd, s->in, sizeof(s->in), 0);
		return err ? err : -EAGAIN;
	}
	if (s->rd.state == OP_IN_FLIGHT)
		return -EAGAIN;
	s->rd.state = OP_IDLE;
	if (s->rd.res < 0)
		return (int)s->rd.res;
	s->in_pos = 0;
	s->in_len = (size_t)s->rd.res;
	s->eof = !s->rd.res;
	return !s->eof;
}

static struct tls_io tls_io_begin(struct stream *s)
{
	return (struct tls_io){
		.in = s->in + s->in_pos,
		.in_len = s->in_len - s->in_pos,
		.out = s->out,
		.out_len = s->out_len,
		.out_cap = sizeof(s->out),
	};
}

/* Accounts for what TLS consumed and produced, and sends what it produced. */
static void tls_io_end(struct stream *s, const struct tls_io *io)
{
	s->in_pos = s->in_len - io->in_len;
	s->out_len = io->out_len;
	stream_kick(s);
}

/* Input for a session that needs more: 1 once there is some, -EAGAIN before that, -EPROTO at the end. */
static int tls_more(struct stream *s)
{
	int got = stream_fill(s);

	if (got)
		return got;
	s->truncated = true;
	return -EPROTO;
}

static ssize_t tls_read_some(struct stream *s, void *buf, size_t cap)
{
	for (;;) {
		struct tls_io io = tls_io_begin(s);
		enum step result;
		size_t n;
		int got;

		result = tls_read(s->tls, &io, buf, cap, &n);
		tls_io_end(s, &io);
		switch (result) {
		case STEP_DONE:
			return (ssize_t)n;
		case STEP_CLOSED:
			return 0;
		case STEP_FAILED:
			return -EPROTO;
		case STEP_BLOCKED:
			return s->broken ? s->broken : -EAGAIN;
		case STEP_MORE:
			got = tls_more(s);
			if (got < 0)
				return got;
		}
	}
}

ssize_t stream_read_some(struct stream *s, void *buf, size_t cap)
{
	size_t n;
	int got;

	stream_kick(s);
	if (s->tls)
		return tls_read_some(s, buf, cap);
	got = stream_fill(s);
	if (got <= 0)
		return got;
	n = s->in_len - s->in_pos < cap ? s->in_len - s->in_pos : cap;
	memcpy(buf, s->in + s->in_pos, n);
	s->in_pos += n;
	return (ssize_t)n;
}

static ssize_t tls_write_some(struct stream *s, const void *buf, size_t len)
{
	struct tls_io io = tls_io_begin(s);
	enum step result;
	size_t n;

	result = tls_write(s->tls, &io, buf, len, &n);
	tls_io_end(s, &io);
	if (result == STEP_DONE)
		return (ssize_t)n;
	return result == STEP_FAILED ? -EPROTO : -EAGAIN;
}

ssize_t stream_write_some(struct stream *s, const void *buf, size_t len)
{
	size_t room;
	int err = stream_kick(s);

	if (err)
		return err;
	if (s->tls)
		return tls_write_some(s, buf, len);
	room = sizeof(s->out) - s->out_len;
	if (!room)
		return -EAGAIN;
	len = len < room ? len : room;
	memcpy(s->out + s->out_len, buf, len);
	s->out_len += len;
	err = stream_kick(s);
	return err ? err : (ssize_t)len;
}

int stream_flush_some(struct stream *s)
{
	int err = stream_kick(s);

	if (err)
		return err;
	if (s->tls && s->wr.state == OP_IDLE && tls_has_output(s->tls)) {
		struct tls_io io = tls_io_begin(s);

		tls_handshake(s->tls, &io); /* already done: only hands out the output that is held */
		tls_io_end(s, &io);
	}
	return s->broken ? s->broken : s->wr.state == OP_IDLE ? 0 : -EAGAIN;
}

int stream_end_some(struct stream *s)
{
	struct tls_io io;
	int err;

	if (s->tls && !s->ended) {
		io = tls_io_begin(s);
		s->ended = tls_shutdown(s->tls, &io) != STEP_BLOCKED;
		tls_io_end(s, &io);
		if (!s->ended)
			return s->broken ? s->broken : -EAGAIN;
	}
	err = stream_flush_some(s);
	if (err)
		return err;
	/* ENOTCONN: the peer has reset the connection, which the next read reports. */
	return shutdown(s->fd, SHUT_WR) < 0 && errno != ENOTCONN ? -errno : 0;
}

ssize_t stream_read(struct stream *s, void *buf, size_t cap, uint64_t deadline_ns)
{
	ssize_t n;
	int err;

	while ((n = stream_read_some(s, buf, cap)) == -EAGAIN) {
		err = client_wait(s->client, deadline_ns);
		if (err)
			return err;
	}
	return n;
}

int stream_write(struct stream *s, const void *buf, size_t len, uint64_t deadline_ns)
{
	const char *next = buf;
	ssize_t n;

	for (;;) {
		n = len ? stream_write_some(s, next, len) : stream_flush_some(s);
		if (!len && !n)
			return 0;
		if (n == -EAGAIN)
			n = client_wait(s->client, deadline_ns);
		else if (n > 0) {
			next += n;
			len -= (size_t)n;
		}
		if (n < 0)
			return (int)n;
	}
}

int stream_end(struct stream *s, uint64_t deadline_ns)
{
	int err;

	while ((err = stream_end_some(s)) == -EAGAIN) {
		err = client_wait(s->client, deadline_ns);
		if (err)
			break;
	}
	return err;
}

const char *stream_error(const struct stream *s, int err)
{
	if (err == -ETIMEDOUT)
		return "no response within --timeout";
	if (err == -EPROTO && s->truncated)
		return "the connection ended without TLS close_notify, data may be missing";
	if (err == -EPROTO && s->tls)
		return tls_error(s->tls);
	return strerror(-err);
}

/* Waits for the outcome of the connect in progress. */
static int connect_await(struct stream *s, uint64_t deadline_ns)
{
	socklen_t len = sizeof(int);
	int err, outcome;

	err = op_poll(s->client, &s->wr, s->afd, POLLOUT);
	while (!err && s->wr.state == OP_IN_FLIGHT)
		err = client_wait(s->client, deadline_ns);
	if (err) {
		op_end(s->client, &s->wr);
		return err;
	}
	s->wr.state = OP_IDLE;
	if (s->wr.res < 0)
		return (int)s->wr.res;
	return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &outcome, &len) < 0 ? -errno : -outcome;
}

/* On success the socket is attached and belongs to the stream. */
static int connect_one(struct stream *s, const struct sockaddr *addr, socklen_t len, uint64_t deadline_ns)
{
	int err, one = 1;

	s->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	if (addr->sa_family != AF_UNIX)
		setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	err = connect(s->fd, addr, len) < 0 ? -errno : 0;
	if (err && err != -EINPROGRESS)
		goto close_fd;
	s->afd = taio_attach(s->client->ring, s->fd, TAIO_CLASS_STREAM);
	if (s->afd < 0) {
		err = s->afd;
		goto close_fd;
	}
	if (err)
		err = connect_await(s, deadline_ns);
	if (!err)
		return 0;
	taio_detach(s->client->ring, s->afd);
close_fd:
	close(s->fd);
	s->fd = -1;
	return err;
}

/* Tries every address in turn; reports the failure of the last one. */
static int connect_any(struct stream *s, const char *target, uint64_t deadline_ns)
{
	char why[ADDR_WHY_LEN], text[ADDR_TEXT_LEN];
	union addr addrs[ADDRS_MAX];
	int n, err = 0;

	n = addr_resolve_all(target, false, addrs, ADDRS_MAX, why);
	if (n < 0) {
		fail("%s", why);
		return n;
	}
	for (int i = 0; i < n; i++) {
		err = connect_one(s, &addrs[i].sa, addr_len(&addrs[i]), deadline_ns);
		if (!err || err == -EINTR || err == -ETIMEDOUT)
			break;
		addr_text(&addrs[i], text);
	}
	if (err == -ETIMEDOUT)
		fail("cannot connect to %s: no response within --timeout", target);
	else if (err && err != -EINTR)
		fail("cannot connect to %s: %s", text, strerror(-err));
	return err;
}

/* A Unix socket; what has no place in its backlog is refused (EAGAIN) rather than made to wait. */
static int connect_path(struct stream *s, const char *path, uint64_t deadline_ns)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int err = strlen(path) < sizeof(addr.sun_path) ? 0 : -ENAMETOOLONG;

	if (!err) {
		strcpy(addr.sun_path, path);
		err = connect_one(s, (const struct sockaddr *)&addr, sizeof(addr), deadline_ns);
	}
	if (err && err != -EINTR)
		fail("cannot connect to %s: %s", path, strerror(-err));
	return err;
}

static int connect_to(struct stream *s, const char *target, uint64_t deadline_ns)
{
	size_t len = strlen(STREAM_UNIX);

	return strncmp(target, STREAM_UNIX, len) ? connect_any(s, target, deadline_ns)
						 : connect_path(s, target + len, deadline_ns);
}

/* 0 once the handshake is done, -EAGAIN before that, -errno. */
static int handshake_some(struct stream *s)
{
	for (;;) {
		struct tls_io io = tls_io_begin(s);
		enum step result = tls_handshake(s->tls, &io);
		int got;

		tls_io_end(s, &io);
		if (result == STEP_DONE)
			return 0;
		if (result == STEP_BLOCKED)
			return s->broken ? s->broken : -EAGAIN;
		if (result == STEP_FAILED)
			return -EPROTO;
		got = stream_fill(s);
		if (got <= 0)
			return got ? got : -ECONNRESET;
	}
}

/* On failure, the alert that tells the peer why is sent if that takes no wait. */
static int handshake(struct stream *s, const char *target, uint64_t deadline_ns)
{
	uint64_t start_ns = clock_ns();
	int err;

	while ((err = handshake_some(s)) == -EAGAIN) {
		err = client_wait(s->client, deadline_ns);
		if (err)
			break;
	}
	s->handshake_ns = clock_ns() - start_ns;
	if (err && err != -EINTR)
		fail("TLS handshake with %s failed: %s", target,
		     err == -ECONNRESET ? "the peer closed the connection" : stream_error(s, err));
	return err;
}

static int context_open(struct stream *s, const char *alpn)
{
	const struct settings *settings = s->client->settings;
	struct tls_client_params params = {
		.ca_file = settings->ca, .insecure = settings->insecure, .alpn = alpn};
	char why[TLS_WHY_LEN];
	int err;

	err = tls_ctx_client(&s->tls_ctx, &params, why);
	if (err)
		fail("%s", why);
	return err;
}

static int session_open(struct stream *s, const char *target)
{
	char host[NI_MAXHOST];
	unsigned int port;

	if (addr_split(target, host, sizeof(host), &port)) /* connect_to() has checked it: a path */
		*host = '\0';
	s->tls = tls_connect(s->tls_ctx, *host ? host : "localhost");
	if (s->tls)
		return 0;
	fail("cannot start TLS with '%s': invalid host name, or out of memory", host);
	return -EINVAL;
}

/* The addresses of the connection itself, ahead of everything else. */
static int send_proxy_header(struct stream *s, uint64_t deadline_ns)
{
	enum proxy_protocol protocol = (enum proxy_protocol)s->client->settings->proxy_protocol;
	socklen_t len = sizeof(union addr), peer_len = len;
	struct proxy_header header = {0};
	char text[PROXY_HEADER_MAX];
	int err = 0;

	if (protocol == PROXY_PROTOCOL_OFF)
		return 0;
	if (getsockname(s->fd, &header.source.sa, &len) < 0 ||
	    getpeername(s->fd, &header.destination.sa, &peer_len) < 0)
		err = -errno;
	if (!err)
		err = stream_write(
			s, text,
			proxy_header_write(&header, protocol == PROXY_PROTOCOL_V2, text, sizeof(text)),
			deadline_ns);
	if (err && err != -EINTR)
		fail("cannot send a PROXY protocol header: %s", stream_error(s, err));
	return err;
}

/* Up to where a TLS handshake may begin. NULL on failure, which is reported. */
static struct stream *stream_connect(struct client *client, const char *target, uint64_t deadline_ns)
{
	struct stream *s = malloc(sizeof(*s));

	if (!s) {
		fail("out of memory");
		return NULL;
	}
	memset(s, 0, offsetof(struct stream, in));
	s->client = client;
	s->fd = -1;
	if (!connect_to(s, target, deadline_ns) && !send_proxy_header(s, deadline_ns))
		return s;
	stream_close(s);
	return NULL;
}

struct stream *stream_open(struct client *client, const char *target, bool tls, const char *alpn)
{
	uint64_t deadline_ns = deadline_in(client->settings->timeout_us);
	struct stream *s = stream_connect(client, target, deadline_ns);

	if (!s || !tls)
		return s;
	if (!context_open(s, alpn) && !session_open(s, target) && !handshake(s, target, deadline_ns))
		return s;
	stream_close(s);
	return NULL;
}

/* Without a ticket, the handshake is a full one. */
static void resume(struct stream *s, const struct stream *before)
{
	struct tls_ticket *ticket = tls_ticket_get(before->tls);

	if (ticket)
		tls_resume(s->tls, ticket);
	tls_ticket_free(ticket);
}

struct stream *stream_reopen(const struct stream *before, const char *target, bool is_resumed)
{
	uint64_t deadline_ns = deadline_in(before->client->settings->timeout_us);
	struct stream *s = stream_connect(before->client, target, deadline_ns);

	if (!s || !before->tls)
		return s;
	s->tls_ctx = tls_ctx_get(before->tls_ctx);
	if (session_open(s, target))
		goto close_stream;
	if (is_resumed)
		resume(s, before);
	if (!handshake(s, target, deadline_ns))
		return s;
close_stream:
	stream_close(s);
	return NULL;
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	if (s->fd >= 0) {
		op_end(s->client, &s->rd);
		op_end(s->client, &s->wr);
		taio_detach(s->client->ring, s->afd);
		close(s->fd);
	}
	tls_free(s->tls);
	tls_ctx_put(s->tls_ctx);
	free(s);
}
