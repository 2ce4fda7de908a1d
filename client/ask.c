/* SPDX-License-Identifier: MIT */
/*
 * Owns the connection to the service admin and the request on it. Called by the one thread of taio.
 * Invariant: the connection is kept only if the response to the last request was read to its end, and no more
 * came.
 */
#include "ask.h"

#include "base/url.h"
#include "stream.h"

#include <errno.h>
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

struct ask {
	struct client *client;
	const char *where;
	struct url url; /* of a Unix socket only the authority */
	struct stream *stream;
	bool is_kept; /* the connection is that of a request before */
	bool is_busy;
	char request[512];
	size_t len, sent;
	uint64_t deadline_ns;
	llhttp_t parser;
	bool complete, keeps;
	const char *broken; /* why what came is of no use */
	bool has_begun;	    /* a byte of the response has come */
	char *body;
	size_t body_len, body_cap;
	char buf[STREAM_BUFFER];
};

/* --- the response --- */

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
	struct ask *ask = parser->data;
	size_t need = ask->body_len + len + 1;
	char *grown = ask->body;

	if (need > ASK_BODY_MAX) {
		ask->broken = "the response is too long";
		return -1;
	}
	if (need > ask->body_cap) {
		ask->body_cap = 2 * need;
		grown = realloc(ask->body, ask->body_cap);
	}
	if (!grown) {
		ask->body_cap = ask->body_len;
		ask->broken = "out of memory";
		return -1;
	}
	ask->body = grown;
	memcpy(ask->body + ask->body_len, at, len);
	ask->body_len += len;
	return 0;
}

static int on_message_complete(llhttp_t *parser)
{
	struct ask *ask = parser->data;

	if (parser->status_code / 100 == 1)
		return 0;
	ask->complete = true;
	ask->keeps = llhttp_should_keep_alive(parser);
	return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {.on_body = on_body, .on_message_complete = on_message_complete};

static void parse(struct ask *ask, const char *data, size_t len)
{
	enum llhttp_errno result = llhttp_execute(&ask->parser, data, len);

	if (ask->complete)
		ask->keeps = ask->keeps && llhttp_get_error_pos(&ask->parser) == data + len;
	else if (result != HPE_OK && !ask->broken)
		ask->broken = "not a valid HTTP response";
}

/* --- the exchange --- */

static void disconnect(struct ask *ask)
{
	stream_close(ask->stream);
	ask->stream = NULL;
	ask->is_kept = false;
}

void ask_cancel(struct ask *ask)
{
	if (ask->is_busy)
		disconnect(ask);
	ask->is_busy = false;
}

static int give_up(struct ask *ask, int err, const char *why)
{
	if (err != -EINTR)
		fail("%s: %s", ask->where, why);
	ask_cancel(ask);
	return err;
}

/* Begins to send the request, on a connection that is there or a new one. */
static int begin(struct ask *ask)
{
	bool is_url = *ask->url.hostport;

	ask->is_kept = ask->stream;
	if (!ask->stream)
		ask->stream = stream_open(ask->client, is_url ? ask->url.hostport : ask->where,
					  ask->url.is_tls, "http/1.1");
	if (!ask->stream)
		return client_signal() ? -EINTR : -ECONNREFUSED;
	ask->is_busy = true;
	ask->sent = 0;
	ask->complete = ask->has_begun = false;
	ask->broken = NULL;
	ask->body_len = 0;
	ask->deadline_ns = deadline_in(ask->client->settings->timeout_us);
	llhttp_init(&ask->parser, HTTP_RESPONSE, &callbacks);
	ask->parser.data = ask;
	return 0;
}

int ask_start(struct ask *ask, const char *method, const char *path)
{
	ask_cancel(ask);
	ask->len = (size_t)snprintf(ask->request, sizeof(ask->request),
				    "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: taio/" TAIO_VERSION "\r\n\r\n",
				    method, path, ask->url.authority);
	if (ask->len >= sizeof(ask->request))
		return give_up(ask, -EINVAL, "the request is too long");
	return begin(ask);
}

/* A connection that was kept may have ended in the meantime, without having seen the request: -ERESTART. */
static int ended(struct ask *ask, int err, const char *why)
{
	if (!ask->is_kept || ask->has_begun)
		return give_up(ask, err, why);
	disconnect(ask);
	err = begin(ask);
	return err ? err : -ERESTART;
}

static int send_some(struct ask *ask)
{
	ssize_t n = 0;

	while (ask->sent < ask->len && n >= 0) {
		n = stream_write_some(ask->stream, ask->request + ask->sent, ask->len - ask->sent);
		ask->sent += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		return (int)n;
	n = stream_flush_some(ask->stream);
	return (int)n;
}

/* What can be read now. 0: the response is whole. */
static int read_some(struct ask *ask)
{
	ssize_t n;

	while (!ask->complete) {
		n = stream_read_some(ask->stream, ask->buf, sizeof(ask->buf));
		if (n == -EAGAIN)
			return -EAGAIN;
		if (n < 0)
			return ended(ask, (int)n, stream_error(ask->stream, (int)n));
		if (n == 0)
			llhttp_finish(&ask->parser);
		if (n == 0 && !ask->complete)
			return ended(ask, -ECONNRESET, "the connection has ended before the response");
		ask->has_begun = true;
		ask->deadline_ns = deadline_in(ask->client->settings->timeout_us);
		if (n)
			parse(ask, ask->buf, (size_t)n);
		if (ask->broken)
			return give_up(ask, -EPROTO, ask->broken);
	}
	return 0;
}

static int exchange_some(struct ask *ask)
{
	int err = send_some(ask);

	if (err && err != -EAGAIN)
		return ended(ask, err, stream_error(ask->stream, err));
	err = read_some(ask);
	if (err == -EAGAIN && clock_ns() >= ask->deadline_ns)
		return give_up(ask, -ETIMEDOUT, "no response within --timeout");
	if (err)
		return err;
	ask->is_busy = false;
	if (!ask->keeps)
		disconnect(ask);
	return 0;
}

int ask_some(struct ask *ask)
{
	int err = exchange_some(ask);

	return err == -ERESTART ? exchange_some(ask) : err;
}

uint64_t ask_deadline_ns(const struct ask *ask)
{
	return ask->deadline_ns;
}

int ask_wait(struct ask *ask)
{
	int err;

	while ((err = ask_some(ask)) == -EAGAIN) {
		err = client_wait(ask->client, ask->deadline_ns);
		if (err && err != -ETIMEDOUT)
			return give_up(ask, err, strerror(-err));
	}
	return err;
}

unsigned int ask_status(const struct ask *ask)
{
	return ask->parser.status_code;
}

const char *ask_body(const struct ask *ask, size_t *len)
{
	*len = ask->body_len;
	if (!ask->body)
		return "";
	ask->body[ask->body_len] = '\0';
	return ask->body;
}

/* --- life --- */

struct ask *ask_create(struct client *client, const char *where)
{
	struct ask *ask = calloc(1, sizeof(*ask));
	const char *why;

	if (!ask) {
		fail("out of memory");
		return NULL;
	}
	ask->client = client;
	ask->where = where;
	if (url_parse(where, &ask->url, &why)) {
		memset(&ask->url, 0, sizeof(ask->url));
		strcpy(ask->url.authority, "taiod");
	}
	return ask;
}

void ask_destroy(struct ask *ask)
{
	if (!ask)
		return;
	disconnect(ask);
	free(ask->body);
	free(ask);
}
