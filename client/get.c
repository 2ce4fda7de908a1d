/* SPDX-License-Identifier: MIT */
/*
 * taio get: one HTTP/1.1 request, its response through llhttp to a local end. The response is read no
 * faster than the local end takes it.
 */
#include "base/url.h"
#include "local.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_MAX (256 * 1024)

struct get {
	struct client *client;
	const char *text; /* the URL as given */
	struct url url;
	struct stream *stream;
	llhttp_t parser;

	char *head; /* status line and headers so far, as --head prints them */
	size_t head_len;
	size_t field_at, value_at; /* where the current header begins in head */
	char location[256];

	int out_fd; /* -1: not open yet */
	bool out_opened;
	struct local out;
	uint64_t body_len;

	bool complete;
	bool failed; /* and reported */
};

/* Reports the failure of the response and stops the parser. */
static int get_fail(struct get *get, const char *what)
{
	if (!get->failed)
		fail("%s: %s", get->text, what);
	get->failed = true;
	return -1;
}

static int head_append(struct get *get, const char *text, size_t len)
{
	char *grown;

	if (get->head_len + len > HEAD_MAX)
		return get_fail(get, "the headers are too long");
	grown = realloc(get->head, get->head_len + len + 1);
	if (!grown)
		return get_fail(get, "out of memory");
	memcpy(grown + get->head_len, text, len);
	grown[get->head_len + len] = '\0';
	get->head = grown;
	get->head_len += len;
	return 0;
}

static int on_message_begin(llhttp_t *parser)
{
	struct get *get = parser->data;

	get->head_len = 0;
	return 0;
}

static int on_version_complete(llhttp_t *parser)
{
	char text[24];
	int len;

	len = snprintf(text, sizeof(text), "HTTP/%u.%u ", parser->http_major, parser->http_minor);
	return head_append(parser->data, text, (size_t)len);
}

/* The status is a number to llhttp; its text, if any, follows in on_text(). */
static int on_status_begin(struct get *get)
{
	char text[8];
	int len;

	if (get->head_len > strlen("HTTP/1.1 "))
		return 0;
	len = snprintf(text, sizeof(text), "%03u ", get->parser.status_code);
	return head_append(get, text, (size_t)len);
}

static int on_status(llhttp_t *parser, const char *at, size_t len)
{
	struct get *get = parser->data;

	return on_status_begin(get) || head_append(get, at, len) ? -1 : 0;
}

static int on_status_complete(llhttp_t *parser)
{
	struct get *get = parser->data;

	if (on_status_begin(get) || head_append(get, "\n", 1))
		return -1;
	get->field_at = get->head_len;
	return 0;
}

static int on_text(llhttp_t *parser, const char *at, size_t len)
{
	return head_append(parser->data, at, len);
}

static int on_field_complete(llhttp_t *parser)
{
	struct get *get = parser->data;

	if (head_append(get, ": ", 2))
		return -1;
	get->value_at = get->head_len;
	return 0;
}

static int on_value_complete(llhttp_t *parser)
{
	struct get *get = parser->data;

	while (get->head_len > get->value_at && strchr(" \t", get->head[get->head_len - 1]))
		get->head[--get->head_len] = '\0';
	if (!strncasecmp(get->head + get->field_at, "location:", 9))
		snprintf(get->location, sizeof(get->location), "%s", get->head + get->value_at);
	if (head_append(get, "\n", 1))
		return -1;
	get->field_at = get->head_len;
	return 0;
}

static bool is_interim(const struct get *get)
{
	return get->parser.status_code / 100 == 1;
}

static int output_open(struct get *get)
{
	const char *name = get->client->settings->output;
	int err;

	get->out_fd = STDOUT_FILENO;
	if (name && strcmp(name, "-")) {
		get->out_fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (get->out_fd < 0) {
			fail("cannot write %s: %s", name, strerror(errno));
			get->failed = true;
			return -1;
		}
	}
	err = local_open(&get->out, get->client, get->out_fd);
	get->out_opened = !err;
	return err ? get_fail(get, strerror(-err)) : 0;
}

static int output_write(struct get *get, const char *at, size_t len)
{
	const char *name = get->client->settings->output;
	int err;

	err = local_write(&get->out, at, len);
	if (err && err != -EINTR)
		fail("cannot write to %s: %s", name ? name : "standard output", strerror(-err));
	get->failed |= err != 0;
	return err ? -1 : 0;
}

static void output_close(struct get *get)
{
	const char *name = get->client->settings->output;

	if (get->out_opened)
		local_close(&get->out);
	if (get->out_fd > STDERR_FILENO && close(get->out_fd) < 0) {
		fail("cannot write %s: %s", name, strerror(errno));
		get->failed = true;
	}
}

/* Text from the server is shown on a terminal: no escape sequence may pass, not even an 8-bit one. */
static char *harmless(char *text)
{
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			*p = '?';
	}
	return text;
}

/* "404 Not Found" */
static void report_status(struct get *get)
{
	const char *line = strchr(get->head, ' ') + 1;
	char text[128];

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, "\n"), line);
	for (size_t len = strlen(text); len && text[len - 1] == ' '; len--)
		text[len - 1] = '\0';
	if (get->parser.status_code < 400 && *get->location)
		fail("%s: %s, not followed: %s", get->text, harmless(text), harmless(get->location));
	else
		fail("%s: %s", get->text, harmless(text));
}

/* 1: no body follows; llhttp cannot know that the request was HEAD. */
static int on_headers_complete(llhttp_t *parser)
{
	struct get *get = parser->data;
	bool head = get->client->settings->head;

	if (is_interim(get))
		return 0;
	if (parser->status_code >= 300 && parser->status_code != 304)
		report_status(get);
	get->failed = parser->status_code >= 400;
	if (get->failed && !head)
		return -1;
	if (output_open(get) || (head && output_write(get, get->head, get->head_len)))
		return -1;
	return head;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
	struct get *get = parser->data;

	get->body_len += len;
	return output_write(get, at, len);
}

static int on_message_complete(llhttp_t *parser)
{
	struct get *get = parser->data;

	if (is_interim(get))
		return 0;
	get->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
	.on_message_begin = on_message_begin,
	.on_version_complete = on_version_complete,
	.on_status = on_status,
	.on_status_complete = on_status_complete,
	.on_header_field = on_text,
	.on_header_field_complete = on_field_complete,
	.on_header_value = on_text,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

static int request_send(struct get *get)
{
	const struct settings *settings = get->client->settings;
	char *request;
	int len, err;

	len = asprintf(&request,
		       "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: taio/" TAIO_VERSION
		       "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		       settings->head ? "HEAD" : "GET", get->url.path, get->url.authority);
	if (len < 0)
		return get_fail(get, "out of memory");
	err = stream_write(get->stream, request, (size_t)len, deadline_in(settings->timeout_us));
	free(request);
	return err && err != -EINTR ? get_fail(get, stream_error(get->stream, err)) : err;
}

/* The connection has ended: only a body without a length is complete. */
static int response_end(struct get *get)
{
	char what[96];

	llhttp_finish(&get->parser);
	if (get->complete || get->failed)
		return 0;
	if (!get->head_len)
		return get_fail(get, "the server closed the connection without a response");
	snprintf(what, sizeof(what), "the connection ended after %llu bytes, before the end of the response",
		 (unsigned long long)get->body_len);
	return get_fail(get, what);
}

static int response_parse(struct get *get, const char *data, size_t len)
{
	enum llhttp_errno result = llhttp_execute(&get->parser, data, len);
	char what[128];

	if (result == HPE_OK || get->complete || get->failed)
		return 0;
	snprintf(what, sizeof(what), "not a valid HTTP response: %s", llhttp_get_error_reason(&get->parser));
	return get_fail(get, what);
}

/* Reports every failure but a signal. */
static void response_read(struct get *get, char *buf, size_t cap)
{
	ssize_t n;

	llhttp_init(&get->parser, HTTP_RESPONSE, &callbacks);
	get->parser.data = get;
	while (!get->complete && !get->failed) {
		n = stream_read(get->stream, buf, cap, deadline_in(get->client->settings->timeout_us));
		if (n == -EINTR)
			return;
		if (n < 0)
			get_fail(get, stream_error(get->stream, (int)n));
		else if (n)
			response_parse(get, buf, (size_t)n);
		else
			response_end(get);
	}
}

static void get_exchange(struct get *get)
{
	static char buf[STREAM_BUFFER];

	get->stream = stream_open(get->client, get->url.hostport, get->url.is_tls, "http/1.1");
	if (!get->stream)
		return;
	if (!request_send(get))
		response_read(get, buf, sizeof(buf));
	output_close(get);
	stream_close(get->stream);
}

int get_run(const struct settings *settings, const char *text)
{
	struct client client;
	struct get get = {.client = &client, .text = text, .out_fd = -1};
	const char *why;

	if (url_parse(text, &get.url, &why)) {
		fail("'%.100s' is not a URL that get can fetch: %s", text, why);
		return 2;
	}
	if (client_open(&client, settings))
		return 1;
	get_exchange(&get);
	client_close(&client);
	free(get.head);
	return get.complete && !get.failed ? 0 : 1;
}
