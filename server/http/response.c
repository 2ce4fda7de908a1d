/* SPDX-License-Identifier: MIT */
/*
 * Response heads and short text responses.
 *
 * A head is assembled from existing pieces: the status line, the site's Server and Date, the file's own
 * lines, and one of three endings. Nothing is formatted for a response whose body is a file.
 */
#include "response.h"

#include "server/access.h"
#include "server/probes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STATUSES(X)                                                                                          \
	X(200, "OK")                                                                                         \
	X(202, "Accepted")                                                                                   \
	X(206, "Partial Content")                                                                            \
	X(204, "No Content")                                                                                 \
	X(301, "Moved Permanently")                                                                          \
	X(304, "Not Modified")                                                                               \
	X(400, "Bad Request")                                                                                \
	X(403, "Forbidden")                                                                                  \
	X(404, "Not Found")                                                                                  \
	X(405, "Method Not Allowed")                                                                         \
	X(408, "Request Timeout")                                                                            \
	X(412, "Precondition Failed")                                                                        \
	X(413, "Content Too Large")                                                                          \
	X(414, "URI Too Long")                                                                               \
	X(416, "Range Not Satisfiable")                                                                      \
	X(417, "Expectation Failed")                                                                         \
	X(431, "Request Header Fields Too Large")                                                            \
	X(500, "Internal Server Error")                                                                      \
	X(501, "Not Implemented")                                                                            \
	X(503, "Service Unavailable")                                                                        \
	X(505, "HTTP Version Not Supported")

struct status {
	unsigned int code;
	uint32_t len;
	const char *line;
};

static const struct status statuses[] = {
#define STATUS_ROW(code, text)                                                                               \
	{code, sizeof("HTTP/1.1 " #code " " text "\r\n") - 1, "HTTP/1.1 " #code " " text "\r\n"},
	STATUSES(STATUS_ROW)
#undef STATUS_ROW
};

static const struct status *status_find(unsigned int code)
{
	const struct status *status = statuses;

	while (status->code != code)
		status++;
	return status;
}

/* A counter never goes back: instead of one that was taken back, the next is not counted. */
static void count_response(struct http_site *site, unsigned int code)
{
	switch (code / 100) {
	case 2:
		if (site->taken_back) {
			site->taken_back--;
			break;
		}
		count(site->counters, responses_2xx);
		tally_count(site->tally, responses_2xx);
		break;
	case 3:
		count(site->counters, responses_3xx);
		tally_count(site->tally, responses_3xx);
		break;
	case 4:
		count(site->counters, responses_4xx);
		tally_count(site->tally, responses_4xx);
		break;
	default:
		count(site->counters, responses_5xx);
		tally_count(site->tally, responses_5xx);
		break;
	}
}

/* The end of the head. HTTP/1.1 keeps the connection unless told otherwise, HTTP/1.0 only if told to. */
static struct span ending_of(const struct http_session *s)
{
	static const char close_it[] = "Connection: close\r\n\r\n";
	static const char keep_it[] = "Connection: keep-alive\r\n\r\n";

	if (s->life != LIFE_KEEP)
		return (struct span){close_it, sizeof(close_it) - 1};
	if (s->minor == 0)
		return (struct span){keep_it, sizeof(keep_it) - 1};
	return (struct span){close_it + sizeof(close_it) - 3, 2};
}

int http_response_head(struct http_session *s, struct outq *out, unsigned int status, const char *lines,
		       size_t len, uint64_t room)
{
	const struct status *row = status_find(status);
	struct span ending;
	size_t total;
	char *to;

	if (s->progress == RESPONSE_CONTINUE_DUE)
		http_session_end(s);
	ending = ending_of(s);
	total = row->len + HTTP_COMMON_LEN + len + ending.len;
	to = outq_reserve(out, total, room);
	if (!to)
		return -ENOMEM;
	to = mempcpy(to, row->line, row->len);
	to = mempcpy(to, s->site->common, HTTP_COMMON_LEN);
	to = mempcpy(to, lines, len);
	memcpy(to, ending.at, ending.len);
	outq_commit(out, total);
	count_response(s->site, status);
	if (s->record) {
		s->record->status = status;
		s->record->head += total;
	}
	probe2(response, s, status);
	s->progress = RESPONSE_SENT;
	return 0;
}

int http_response_text(struct http_session *s, struct outq *out, unsigned int status, const char *lines,
		       const char *text)
{
	size_t len = strlen(text);
	char all[HTTP_LINES_MAX + 256];
	int n, err;

	n = snprintf(all, sizeof(all), "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n%s",
		     len, lines);
	err = http_response_head(s, out, status, all, (size_t)n, len);
	return err || s->is_head ? err : outq_append(out, text, len);
}

int http_response_status(struct http_session *s, struct outq *out, unsigned int status, const char *lines)
{
	const struct status *row = status_find(status);
	char text[64];

	/* The status line without "HTTP/1.1 " and CRLF. */
	snprintf(text, sizeof(text), "%.*s\n", (int)row->len - 11, row->line + 9);
	return http_response_text(s, out, status, lines, text);
}

static void count_refusal(struct counters *counters, enum http_refusal_kind kind)
{
	switch (kind) {
	case REFUSE_PLAIN:
		break;
	case REFUSE_SMUGGLING:
		count(counters, smuggling);
		count(counters, bad_requests);
		break;
	case REFUSE_BAD:
		count(counters, bad_requests);
		break;
	case REFUSE_TOO_BIG:
		count(counters, header_too_big);
		break;
	case REFUSE_ESCAPE:
		count(counters, path_escapes);
		break;
	case REFUSE_SLOW:
		count(counters, slow_requests);
		break;
	}
}

int http_refuse(struct http_session *s, struct outq *out, const struct http_refusal *why)
{
	const struct status *row = status_find(why->status);
	char text[160];

	count_refusal(s->site->counters, why->kind);
	if (why->status != 404 && why->status != 403)
		http_session_end(s);
	if (s->progress == RESPONSE_SENT) {
		if (s->record)
			s->record->is_cut = true;
		return 0;
	}
	snprintf(text, sizeof(text), "%.*s: %s\n", (int)row->len - 11, row->line + 9, why->text);
	return http_response_text(s, out, why->status, "", text);
}

int http_response_continue(struct http_session *s, struct outq *out)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	s->progress = RESPONSE_NONE;
	if (s->record)
		s->record->head += sizeof(text) - 1;
	return outq_append(out, text, sizeof(text) - 1);
}
