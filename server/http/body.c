/* SPDX-License-Identifier: MIT */
/*
 * Request bodies. With Content-Length, bytes are counted; a chunked body passes a strict check line by line
 * and then llhttp. The bytes are dropped or echoed.
 *
 * An echoed chunked body keeps the peer's chunks, so that the response does not depend on how the bytes were
 * split. The head of that response is held back until the first size line, which may still be refused.
 *
 * Invariant: a step consumes whole lines or body bytes, and no more body bytes than fit below OUTQ_HIGH.
 */
#include "body.h"

#include "base/hex.h"
#include "chars.h"
#include "response.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Maximum length of a size line, including extensions and CRLF. */
#define CHUNK_LINE_MAX 256

const struct http_refusal http_body_too_large = {413, REFUSE_PLAIN, "request body too large"};

static const struct http_refusal size_form = {400, REFUSE_SMUGGLING, "malformed chunk size"};
static const struct http_refusal size_long = {400, REFUSE_BAD, "chunk size line too long"};
static const struct http_refusal end_form = {400, REFUSE_SMUGGLING, "chunk data not ended by CRLF"};
static const struct http_refusal trailer_form = {400, REFUSE_SMUGGLING, "malformed trailer section"};
static const struct http_refusal trailer_long = {431, REFUSE_TOO_BIG, "trailer section too big"};

/* The rate is averaged over this long, so a client may stall and make up for it with its next bytes. */
#define WINDOW_MS 20000

/* The context of the parser's callbacks. */
struct body {
	struct http_session *s;
	struct outq *out;
	int err;
	bool is_complete;
};

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
	struct body *body = parser->data;

	if (body->s->sink == SINK_ECHO)
		body->err = outq_append(body->out, at, len);
	return 0;
}

static int on_message_complete(llhttp_t *parser)
{
	struct body *body = parser->data;

	body->is_complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t body_settings = {
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

static llhttp_errno_t feed(struct body *body, const char *data, size_t len)
{
	llhttp_t *parser = &body->s->parser;
	llhttp_errno_t err;

	parser->data = body;
	err = llhttp_execute(parser, data, len);
	parser->data = NULL;
	return body->is_complete && err == HPE_PAUSED ? HPE_OK : err;
}

static ssize_t refuse(struct http_session *s, size_t len, struct outq *out, const struct http_refusal *why)
{
	int err;

	s->state = STATE_DEAD;
	http_session_end(s);
	err = http_refuse(s, out, why);
	return err ? err : (ssize_t)len;
}

void http_body_begin(struct http_session *s, const struct http_request *req)
{
	s->left = req->length;
	s->state = STATE_LENGTH;
	s->window.since_ms = s->site->now_ms;
	s->window.passed_ms = 0;
	s->window.nbytes = 0;
	if (!req->chunked)
		return;
	s->left = s->body_len = 0;
	s->trailer_len = 0;
	s->state = STATE_CHUNK_SIZE;
	/* An Upgrade field, which is ignored here, must not make llhttp stop after the body. */
	s->parser.upgrade = 0;
	s->parser.settings = (void *)&body_settings;
	llhttp_resume(&s->parser);
}

static int respond_echo(struct http_session *s, const struct http_request *req, struct outq *out)
{
	char lines[128];
	int n;

	if (req)
		n = snprintf(lines, sizeof(lines),
			     "Content-Type: application/octet-stream\r\nContent-Length: %llu\r\n",
			     (unsigned long long)req->length);
	else
		n = snprintf(lines, sizeof(lines),
			     "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n");
	return http_response_head(s, out, 200, lines, (size_t)n, req ? req->length : 0);
}

int http_echo(struct http_session *s, const struct http_request *req, const struct http_path *path,
	      struct outq *out)
{
	int err = 0;

	s->sink = SINK_ECHO;
	if (s->progress == RESPONSE_CONTINUE_DUE)
		err = http_response_continue(s, out);
	if (!err && !req->chunked)
		err = respond_echo(s, req, out);
	return err;
}

static size_t room_for(const struct http_session *s, size_t len, const struct outq *out)
{
	uint64_t room = out->nbytes < OUTQ_HIGH ? OUTQ_HIGH - out->nbytes : 1;
	uint64_t n = s->left < len ? s->left : len;

	return (size_t)(s->sink == SINK_DROP || n < room ? n : room);
}

ssize_t http_body_length(struct http_session *s, const char *data, size_t len, struct outq *out)
{
	size_t n = room_for(s, len, out);

	if (s->sink == SINK_ECHO && outq_append(out, data, n))
		return -ENOMEM;
	s->left -= n;
	if (!s->left)
		http_request_done(s);
	return (ssize_t)n;
}

/*
 * Returns the length of the line at the start of @data, including its CRLF. 0: more bytes are needed; -1: it
 * contains a control byte that is neither a TAB nor part of the CRLF.
 */
static ssize_t line_length(const char *data, size_t len)
{
	size_t at = find_control(data, 0, len);

	while (at < len && data[at] == '\t')
		at = find_control(data, at + 1, len);
	if (at == len)
		return 0;
	if (data[at] != '\r')
		return -1;
	if (at + 1 == len)
		return 0;
	return data[at + 1] == '\n' ? (ssize_t)at + 2 : -1;
}

/*
 * Parses the hexadecimal digits, *ndigits in number, before the end of the line or its extensions, which are
 * ignored (RFC 9112, section 7.1.1). Returns false if anything else is there.
 */
static bool parse_size(const char *line, size_t len, uint64_t *size, size_t *ndigits)
{
	size_t i;

	*size = 0;
	for (i = 0; i < len && hex_value(line[i]) >= 0; i++) {
		if (i == 15)
			return false;
		*size = *size << 4 | (uint64_t)hex_value(line[i]);
	}
	*ndigits = i;
	if (line[i] == '\r')
		return i > 0;
	while (i < len && (line[i] == ' ' || line[i] == '\t'))
		i++;
	return *ndigits > 0 && line[i] == ';';
}

/* Passes llhttp the size without extensions, some of which it refuses. */
static bool feed_size(struct body *body, const char *digits, size_t ndigits, uint64_t size)
{
	char line[15 + 2];

	memcpy(line, digits, ndigits);
	memcpy(line + ndigits, "\r\n", 2);
	return !feed(body, line, ndigits + 2) && body->s->parser.content_length == size;
}

/* A chunk of @size bytes begins: queues the head if it was held back, and echoes the size line. */
static int begin_chunk(struct http_session *s, uint64_t size, struct outq *out)
{
	int err = 0;

	s->left = size;
	s->body_len += size;
	s->state = size ? STATE_CHUNK_DATA : STATE_TRAILER;
	if (s->sink == SINK_DROP)
		return 0;
	if (s->progress != RESPONSE_SENT)
		err = respond_echo(s, NULL, out);
	if (!err && size)
		err = outq_printf(out, "%llx\r\n", (unsigned long long)size);
	return err;
}

ssize_t http_body_chunk_size(struct http_session *s, const char *data, size_t len, struct outq *out)
{
	ssize_t n = line_length(data, len < CHUNK_LINE_MAX ? len : CHUNK_LINE_MAX);
	struct body body = {.s = s, .out = out};
	size_t ndigits;
	uint64_t size;

	if (n == 0)
		return len < CHUNK_LINE_MAX ? 0 : refuse(s, len, out, &size_long);
	if (n < 0 || !parse_size(data, (size_t)n, &size, &ndigits))
		return refuse(s, len, out, &size_form);
	if (size > s->site->options->body_max - s->body_len)
		return refuse(s, len, out, &http_body_too_large);
	if (!feed_size(&body, data, ndigits, size))
		return refuse(s, len, out, &size_form);
	return begin_chunk(s, size, out) ? -ENOMEM : n;
}

ssize_t http_body_chunk_data(struct http_session *s, const char *data, size_t len, struct outq *out)
{
	size_t n = room_for(s, len, out);
	struct body body = {.s = s, .out = out};

	if (feed(&body, data, n))
		return refuse(s, len, out, &size_form);
	if (body.err)
		return body.err;
	s->left -= n;
	if (!s->left)
		s->state = STATE_CHUNK_END;
	return (ssize_t)n;
}

ssize_t http_body_chunk_end(struct http_session *s, const char *data, size_t len, struct outq *out)
{
	struct body body = {.s = s, .out = out};

	if (data[0] != '\r' || (len > 1 && data[1] != '\n'))
		return refuse(s, len, out, &end_form);
	if (len < 2)
		return 0;
	if (feed(&body, data, 2))
		return refuse(s, len, out, &end_form);
	s->state = STATE_CHUNK_SIZE;
	return s->sink == SINK_ECHO && outq_append(out, "\r\n", 2) ? -ENOMEM : 2;
}

/* Trailer fields are checked and dropped; nothing here uses them. */
ssize_t http_body_trailer(struct http_session *s, const char *data, size_t len, struct outq *out)
{
	size_t most = s->site->options->header_max - s->trailer_len;
	ssize_t n = line_length(data, len < most ? len : most);
	struct body body = {.s = s, .out = out};

	if (n < 0 || data[0] == ' ' || data[0] == '\t')
		return refuse(s, len, out, &trailer_form);
	if (n == 0)
		return len < most ? 0 : refuse(s, len, out, &trailer_long);
	if (feed(&body, data, (size_t)n) || body.is_complete != (n == 2))
		return refuse(s, len, out, &trailer_form);
	s->trailer_len += (uint32_t)n;
	if (n > 2)
		return n;
	http_request_done(s);
	return s->sink == SINK_ECHO && outq_append(out, "0\r\n\r\n", 5) ? -ENOMEM : n;
}

void http_body_pace_begin(struct http_session *s)
{
	if (s->window.since_ms)
		return;
	s->window.since_ms = s->site->now_ms - s->window.passed_ms;
	s->window.passed_ms = 0;
}

void http_body_pace_end(struct http_session *s, const struct outq *out)
{
	if (out->nbytes < OUTQ_HIGH || !s->window.since_ms)
		return;
	/* Now it is not the sending that is slow. */
	s->window.passed_ms = s->site->now_ms - s->window.since_ms;
	s->window.since_ms = 0;
}

bool http_body_is_slow(struct http_session *s)
{
	uint64_t now_ms = s->site->now_ms, took_ms = now_ms - s->window.since_ms;

	if (!s->window.since_ms || took_ms < WINDOW_MS)
		return false;
	if (s->window.nbytes * 1000 < s->site->options->body_min_rate * took_ms)
		return true;
	s->window.since_ms = now_ms;
	s->window.nbytes = 0;
	return false;
}

enum step http_body_refuse(struct http_session *s, struct outq *out, const struct http_refusal *why)
{
	bool has_begun = s->progress == RESPONSE_SENT;

	return refuse(s, 0, out, why) < 0 || has_begun ? STEP_FAILED : STEP_DONE;
}
