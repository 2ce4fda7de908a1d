/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 GET: all connections send the same request; responses are checked, counted and discarded. */
#include "proto.h"

#include "conn.h"
#include "http_response.h"
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_CAP (16 * 1024)

struct http_data {
	char *request;
	size_t len;
};

static uint64_t http_in_cap(const struct settings *set)
{
	return IN_CAP;
}

static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f ||
		    strchr("():,;\"/", text[i]))
			return false;
	}
	return len > 0;
}

/* A line break in the path or a header would produce extra requests, and responses could not be matched. */
static int check_texts(const struct opt_list *headers, const char *path, char *why)
{
	const char *text;

	if (path[0] != '/' || strpbrk(path, " \r\n\t")) {
		snprintf(why, WHY_LEN, "--path '%.100s' must begin with / and contain no blanks", path);
		return -EINVAL;
	}
	for (size_t i = 0; i < headers->len; i++) {
		text = headers->items[i];
		if (strpbrk(text, "\r\n") || !strchr(text, ':') || !is_token(text, strcspn(text, ":"))) {
			snprintf(why, WHY_LEN, "--header '%.*s' must be NAME: VALUE on one line",
				 (int)strcspn(text, "\r\n"), text);
			return -EINVAL;
		}
	}
	return 0;
}

static bool has_header(const struct opt_list *headers, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < headers->len; i++) {
		if (!strncasecmp(headers->items[i], name, len) && headers->items[i][len] == ':')
			return true;
	}
	return false;
}

static void write_request(const struct target *target, const struct opt_list *headers, const char *path,
			  FILE *to)
{
	fprintf(to, "GET %s HTTP/1.1\r\n", path);
	if (!has_header(headers, "Host"))
		fprintf(to, "Host: %s\r\n", target->url.authority);
	if (!has_header(headers, "User-Agent"))
		fprintf(to, "User-Agent: taio-load/" TAIO_VERSION "\r\n");
	for (size_t i = 0; i < headers->len; i++)
		fprintf(to, "%s\r\n", headers->items[i]);
	fprintf(to, "\r\n");
}

static int http_open(struct net *net, const struct settings *set, char *why)
{
	const char *path = net->target.is_url ? net->target.url.path : set->path;
	struct http_data *http;
	FILE *to;
	int err;

	err = check_texts(&set->headers, path, why);
	if (err)
		return err;
	http = calloc(1, sizeof(*http));
	to = http ? open_memstream(&http->request, &http->len) : NULL;
	if (!to)
		goto no_memory;
	write_request(&net->target, &set->headers, path, to);
	if (fclose(to))
		goto no_memory;
	net->proto_data = http;
	return 0;

no_memory:
	if (http)
		free(http->request);
	free(http);
	snprintf(why, WHY_LEN, "out of memory");
	return -ENOMEM;
}

static void http_close(struct net *net)
{
	struct http_data *http = net->proto_data;

	if (!http)
		return;
	free(http->request);
	free(http);
	net->proto_data = NULL;
}

static void http_request(struct conn *conn)
{
	const struct http_data *http = conn->net->proto_data;

	http_response_init(conn->proto_state);
	conn_send(conn, http->request, http->len);
}

static enum step fail(struct conn *conn, enum error_kind kind)
{
	conn->failure = kind;
	return STEP_FAILED;
}

static enum step complete(struct conn *conn)
{
	const struct http_response *response = conn->proto_state;
	char detail[80];

	conn->peer_closes = response->close;
	if (response->status >= 400) {
		snprintf(detail, sizeof(detail), "HTTP status %u", response->status);
		stats_error(conn->net->stats, ERROR_HTTP_STATUS, 1, detail);
	}
	return STEP_DONE;
}

static enum step http_input(struct conn *conn, const char *data, size_t len)
{
	struct http_response *response = conn->proto_state;
	size_t used = http_response_input(response, data, len);

	if (response->state == HTTP_MALFORMED)
		return fail(conn, ERROR_HTTP_SYNTAX);
	if (used < len)
		return fail(conn, ERROR_UNEXPECTED);
	return response->state == HTTP_COMPLETE ? complete(conn) : STEP_MORE;
}

static enum step http_eof(struct conn *conn)
{
	return http_response_eof(conn->proto_state) ? complete(conn) : STEP_FAILED;
}

const struct proto proto_http = {
	.name = "http",
	.alpn = "http/1.1",
	.is_of_url = true,
	.keeps_alive = true,
	.conn_size = sizeof(struct http_response),
	.in_cap = http_in_cap,
	.open = http_open,
	.close = http_close,
	.request = http_request,
	.input = http_input,
	.eof = http_eof,
};
