/* SPDX-License-Identifier: MIT */
#include "access.h"

#include <string.h>
#include <strings.h>

static struct access_text text_of(struct span span)
{
	return (struct access_text){span.at, span.len};
}

/* The parts of a request line that has passed the scan: METHOD SP TARGET SP VERSION. */
static void take_line(struct access_request *request, const struct http_scan *scan)
{
	const char *line = request->line.at;
	size_t end = scan->target + scan->target_len;

	request->method = (struct access_text){line, scan->target - 1};
	request->target = (struct access_text){line + scan->target, scan->target_len};
	request->protocol = (struct access_text){line + end + 1, request->line.len - end - 1};
}

static void take_field(struct access_request *request, struct span name, struct span value)
{
	struct {
		const char *name;
		struct access_text *to;
	} rows[] = {
		{"host", &request->host}, {"referer", &request->referer}, {"user-agent", &request->agent}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!rows[i].to->at && strlen(rows[i].name) == name.len &&
		    !strncasecmp(rows[i].name, name.at, name.len))
			*rows[i].to = text_of(value);
}

/* From the lines of a header block; of a field that is repeated the first counts. */
static void take_fields(struct access_request *request, const char *at, const char *end)
{
	const char *next, *colon;

	for (; at < end; at = next) {
		next = memchr(at, '\n', (size_t)(end - at));
		next = next ? next + 1 : end;
		colon = memchr(at, ':', (size_t)(next - at));
		if (colon && next - colon > 2)
			take_field(request, (struct span){at, (size_t)(colon - at)},
				   span_trim(colon + 1, (size_t)(next - colon) - 3));
	}
}

void http_access_begin(struct http_session *s, const char *data, size_t len, size_t head_len)
{
	const struct service_env *env = s->site->env;
	struct access_request request = {
		.number = http_access_number(s),
		.took_us = s->begun_ms ? (s->site->now_ms - s->begun_ms) * 1000 : 0,
		.nbytes = head_len ? head_len : len,
	};
	const char *end = data ? memchr(data, '\n', len) : NULL;

	if (data) {
		request.line = (struct access_text){data, end ? (size_t)(end - data) : len};
		if (request.line.len && data[request.line.len - 1] == '\r')
			request.line.len--;
	}
	if (data && s->scan.target_len)
		take_line(&request, &s->scan);
	if (head_len)
		take_fields(&request, end + 1, data + head_len);
	s->record = env->access_begin(s->peer, &request);
}

struct access_record *http_access_again(struct http_session *s, uint32_t number)
{
	const struct service_env *env = s->site->env;

	return env->access_find ? env->access_find(s->peer, number) : NULL;
}
