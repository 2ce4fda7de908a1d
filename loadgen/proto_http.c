/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 GET: one request text shared by all connections, answers counted and thrown away. Loop thread
 * only. */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_data {
	char *request;
	size_t len;
};

static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f ||
		    strchr("():,;\"/", text[i]))
			return false;
	}
	return len > 0;
}

/* A path or header that smuggles a line of its own would make the answers uncountable. */
static int check_texts(const struct run *run, const char *path, char *why)
{
	const struct opt_list *headers = &run->set->headers;
	const char *text;

	if (path[0] != '/' || strpbrk(path, " \r\n\t")) {
		snprintf(why, RUN_WHY_LEN, "--path '%.100s' must begin with / and be without blanks", path);
		return -EINVAL;
	}
	for (size_t i = 0; i < headers->len; i++) {
		text = headers->items[i];
		if (strpbrk(text, "\r\n") || !strchr(text, ':') || !is_token(text, strcspn(text, ":"))) {
			snprintf(why, RUN_WHY_LEN, "--header '%.*s' is not NAME: VALUE on one line",
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

static void write_request(const struct run *run, const char *path, FILE *to)
{
	const struct opt_list *headers = &run->set->headers;

	fprintf(to, "GET %s HTTP/1.1\r\n", path);
	if (!has_header(headers, "Host"))
		fprintf(to, "Host: %s\r\n", run->target.authority);
	if (!has_header(headers, "User-Agent"))
		fprintf(to, "User-Agent: taio-load/" TAIO_VERSION "\r\n");
	for (size_t i = 0; i < headers->len; i++)
		fprintf(to, "%s\r\n", headers->items[i]);
	fprintf(to, "\r\n");
}

static int http_open(struct run *run, char *why)
{
	const char *path = run->target.path ? run->target.path : run->set->path;
	struct http_data *http;
	FILE *to;
	int err;

	err = check_texts(run, path, why);
	if (err)
		return err;
	http = calloc(1, sizeof(*http));
	to = http ? open_memstream(&http->request, &http->len) : NULL;
	if (!to)
		goto no_memory;
	write_request(run, path, to);
	if (fclose(to))
		goto no_memory;
	run->proto_data = http;
	return 0;

no_memory:
	if (http)
		free(http->request);
	free(http);
	snprintf(why, RUN_WHY_LEN, "out of memory");
	return -ENOMEM;
}

static void http_close(struct run *run)
{
	struct http_data *http = run->proto_data;

	free(http->request);
	free(http);
	run->proto_data = NULL;
}

static void http_ask(struct conn *conn)
{
	const struct http_data *http = conn->run->proto_data;

	http_answer_init(&conn->http);
	conn_send(conn, http->request, http->len);
}

static enum answer http_complete(struct conn *conn)
{
	char detail[80];

	conn->reopen = conn->http.close;
	if (conn->http.status >= 400) {
		snprintf(detail, sizeof(detail), "HTTP status %u", conn->http.status);
		stats_error(&conn->run->stats, ERROR_HTTP_STATUS, 1, detail);
	}
	return ANSWER_DONE;
}

static enum answer http_input(struct conn *conn, const char *data, size_t len)
{
	size_t used = http_answer_input(&conn->http, data, len);

	if (conn->http.state == HTTP_MALFORMED) {
		conn->bad = ERROR_HTTP_SYNTAX;
		return ANSWER_BAD;
	}
	if (used < len) {
		conn->bad = ERROR_UNEXPECTED;
		return ANSWER_BAD;
	}
	return conn->http.state == HTTP_COMPLETE ? http_complete(conn) : ANSWER_MORE;
}

static enum answer http_eof(struct conn *conn)
{
	conn->bad = ERROR_CLOSED;
	return http_answer_eof(&conn->http) ? http_complete(conn) : ANSWER_BAD;
}

const struct proto proto_http = {
	.name = "http",
	.alpn = "http/1.1",
	.open = http_open,
	.close = http_close,
	.ask = http_ask,
	.input = http_input,
	.eof = http_eof,
};
