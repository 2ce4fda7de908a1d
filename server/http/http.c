/* SPDX-License-Identifier: MIT */
/*
 * The http service: sites, sessions and the flow of requests.
 *
 * A session is a state and a table of steps. A step consumes a whole header block, a line of a chunked body
 * or some body bytes, and input() runs steps until it runs out of bytes or the queue is full. Responses go
 * out in the order of their requests because a request is not looked at until the one before it has its
 * response.
 *
 * Invariant: the output depends on the bytes received, not on how they were split.
 */
#include "http.h"

#include "access.h"
#include "admin.h"
#include "body.h"
#include "file.h"
#include "response.h"
#include "session.h"
#include "static.h"
#include "target.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WHY_LEN 256

_Static_assert(sizeof(struct http_admin) <= SERVICE_SESSION_MAX, "a connection keeps no more for a session");

static const struct http_refusal head_cut = {400, REFUSE_BAD, "the header block ends early"};
static const struct http_refusal body_cut = {400, REFUSE_BAD, "the body ends early"};

static void site_tick(struct http_site *site)
{
	struct timespec ts;
	uint64_t now_ms;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	if (now_ms == site->now_ms)
		return;
	site->now_ms = now_ms;
	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	if (ts.tv_sec == site->now)
		return;
	site->now = ts.tv_sec;
	http_date_format(site->now, site->common + sizeof(HTTP_SERVER_LINE) - 1);
}

static int http_verify(const void *checked, bool is_tls, char *why)
{
	const struct http_words *words = checked;
	struct stat st;
	int err = 0;

	if (words->root && stat(words->root, &st) < 0)
		err = -errno;
	else if (words->root && !S_ISDIR(st.st_mode))
		err = -ENOTDIR;
	if (err)
		snprintf(why, WHY_LEN, "root=%.200s: %s", words->root, strerror(-err));
	return err;
}

static int open_site(struct http_site **opened, const struct http_route *known, const void *options,
		     const struct http_words *words, const struct service_env *env, char *why)
{
	struct http_site *site = calloc(1, sizeof(*site));
	int err = 0;

	if (!site) {
		snprintf(why, WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	site->routes = known;
	site->options = options;
	site->words = words;
	site->env = env;
	site->counters = env->counters;
	site->access = env->access;
	site->tally = env->tally;
	assert(site->options->header_max <= HTTP_HEADER_MAX);
	memcpy(site->common, HTTP_SERVER_LINE, sizeof(HTTP_SERVER_LINE) - 1);
	memcpy(site->common + HTTP_COMMON_LEN - 2, "\r\n", 2);
	site->now = -1;
	site_tick(site);
	site->copy = malloc(site->options->header_max);
	if (!site->copy) {
		snprintf(why, WHY_LEN, "out of memory");
		err = -ENOMEM;
	}
	if (!err && words->root)
		err = file_cache_create(&site->files, env->ring, env->turn, words->root,
					site->options->file_cache,
					(unsigned int)(site->options->file_valid_us / 1000), why);
	if (err) {
		free(site->copy);
		free(site);
		return err;
	}
	*opened = site;
	return 0;
}

static int respond_metrics(struct http_session *s, const struct http_request *req,
			   const struct http_path *path, struct outq *out)
{
	if (!s->site->options->metrics)
		return http_response_status(s, out, 404, "");
	return http_metrics(s, req, path, out);
}

static const struct http_route routes[] = {
	{HTTP_PATH("healthz"), HTTP_MAY_GET, HTTP_ALLOW_GET, http_healthz},
	{HTTP_PATH("metrics"), HTTP_MAY_GET, HTTP_ALLOW_GET, respond_metrics},
	{HTTP_PATH("echo"), HTTP_BIT(METHOD_POST), HTTP_ALLOW_POST, http_echo},
	{{0}, 0, NULL, NULL},
};

static int http_site_open(void **opened, const void *options, const void *words,
			  const struct service_env *env, char *why)
{
	return open_site((struct http_site **)opened, routes, options, words, env, why);
}

/* Of the service admin, which has neither files nor options. */
static int admin_site_open(void **opened, const void *options, const void *words,
			   const struct service_env *env, char *why)
{
	static const struct http_options fixed = {.header_max = 8192, .request_timeout_us = 60 * 1000000ULL};
	static const struct http_words none;
	struct http_site **site = (struct http_site **)opened;
	int ret = open_site(site, http_admin_routes, &fixed, &none, env, why);

	if (!ret)
		(*site)->answer = http_admin_answer;
	return ret;
}

static int http_site_reload(void *reloaded, const void *words, char *why)
{
	struct http_site *site = reloaded;

	return site->files ? file_cache_reopen(site->files, site->words->root, why) : 0;
}

static unsigned int http_max_files(const void *options)
{
	return ((const struct http_options *)options)->file_cache;
}

static void http_site_close(void *closed)
{
	struct http_site *site = closed;

	file_cache_destroy(site->files);
	free(site->copy);
	free(site);
}

static void http_open(void *session, void *site, struct peer *peer)
{
	struct http_session *s = session;

	s->site = site;
	s->peer = peer;
	s->state = STATE_HEAD;
	s->minor = 1;
}

static bool is_of(const struct http_route *route, struct span path)
{
	size_t len = route->path.len;
	bool is_below = route->path.at[len - 1] == '/';

	return (is_below ? path.len > len : path.len == len) && memcmp(route->path.at, path.at, len) == 0;
}

/* Routes take precedence over files of the same name. */
static const struct http_route *route_find(const struct http_route *route, const struct http_path *path)
{
	for (; route->path.at; route++)
		if (!path->is_dir && is_of(route, path->path))
			return route;
	return NULL;
}

static int respond_options(struct http_session *s, struct outq *out, const char *allow)
{
	return http_response_head(s, out, 204, allow, strlen(allow), 0);
}

static int respond_path(struct http_session *s, const struct http_request *req, const struct http_path *path,
			struct outq *out)
{
	const struct http_route *route = route_find(s->site->routes, path);
	unsigned int methods = route ? route->methods : HTTP_MAY_GET;
	const char *allow = route ? route->allow : HTTP_ALLOW_GET;

	if (req->method == METHOD_OPTIONS)
		return respond_options(s, out, allow);
	if (!(methods & HTTP_BIT(req->method)))
		return route ? http_response_status(s, out, 405, allow)
			     : http_static_refuse(s, path, out, allow);
	return route ? route->respond(s, req, path, out) : http_static(s, req, path, out);
}

/* Responds to @req: completely, or as far as possible before its body arrives. */
static int respond(struct http_session *s, const struct http_request *req, struct outq *out)
{
	const struct http_refusal *refusal;
	struct http_path path;

	if (req->length > s->site->options->body_max)
		return http_refuse(s, out, &http_body_too_large);
	if (req->target.len == 1 && *req->target.at == '*' && req->method == METHOD_OPTIONS)
		return respond_options(s, out, HTTP_ALLOW_ANY);
	if (req->method == METHOD_REFUSED && req->target.at[0] != '/')
		return http_response_status(s, out, 405, HTTP_ALLOW_ANY); /* CONNECT host:port */
	refusal = http_target_path(req->target, &path);
	if (refusal)
		return http_refuse(s, out, refusal);
	return respond_path(s, req, &path, out);
}

static void request_end(struct http_session *s, const struct http_request *req)
{
	bool has_body = req->chunked || req->length;

	if (!has_body || (s->sink == SINK_DROP && s->life != LIFE_KEEP))
		http_request_done(s);
	else
		http_body_begin(s, req);
}

static int refuse_head(struct http_session *s, struct outq *out, const struct http_refusal *refusal)
{
	s->state = STATE_DEAD;
	s->progress = RESPONSE_NONE; /* the last request's stands here if this one's head was never whole */
	s->is_head = false;
	s->minor = 1;
	http_session_end(s);
	if (!s->record && http_is_logged(s))
		http_access_begin(s, NULL, 0, 0);
	return http_refuse(s, out, refusal);
}

static ssize_t step_head(struct http_session *s, const char *data, size_t len, struct outq *out)
{
	const struct http_refusal *refusal;
	struct http_request req;
	size_t head_len;
	int err;

	/* One empty line before a request line is skipped (RFC 9112, section 2.2). */
	if (data[0] == '\r' && !s->scan.has_crlf) {
		if (len == 1)
			return 0;
		s->scan.has_crlf = true;
		if (data[1] == '\n')
			return 2;
	}
	site_tick(s->site);
	if (!s->begun_ms)
		s->begun_ms = s->site->now_ms;
	refusal = http_head_scan(&s->scan, data, len, s->site->options->header_max, &head_len);
	if (!refusal && !head_len)
		return 0;
	if (!refusal)
		refusal = http_head_parse(&s->scan, data, head_len, s->site->copy, &s->parser, &req);
	if (refusal) {
		if (http_is_logged(s))
			http_access_begin(s, data, len, head_len);
		return refuse_head(s, out, refusal) ? -ENOMEM : (ssize_t)len;
	}
	http_request_begin(s, &req);
	if (http_is_logged(s))
		http_access_begin(s, data, head_len, head_len);
	err = respond(s, &req, out);
	if (err < 0)
		return err;
	if (err == HTTP_WAIT)
		s->state = STATE_WAIT;
	else
		request_end(s, &req);
	return (ssize_t)head_len;
}

typedef ssize_t http_step(struct http_session *s, const char *data, size_t len, struct outq *out);

static http_step *const steps[STATE_COUNT] = {
	[STATE_HEAD] = step_head,
	[STATE_LENGTH] = http_body_length,
	[STATE_CHUNK_SIZE] = http_body_chunk_size,
	[STATE_CHUNK_DATA] = http_body_chunk_data,
	[STATE_CHUNK_END] = http_body_chunk_end,
	[STATE_TRAILER] = http_body_trailer,
};

static bool is_in_body(const struct http_session *s)
{
	return s->state != STATE_HEAD && s->state != STATE_WAIT && s->state != STATE_DEAD;
}

static enum step http_input(void *session, const char *data, size_t len, size_t *used, struct outq *out)
{
	struct http_session *s = session;
	size_t at = 0;
	ssize_t n;

	*used = 0;
	if (s->state == STATE_WAIT) {
		site_tick(s->site);
		n = s->site->answer(s, out);
		if (n)
			return n < 0 ? STEP_FAILED : STEP_BLOCKED;
		http_request_done(s);
	}
	if (is_in_body(s)) {
		site_tick(s->site);
		http_body_pace_begin(s);
	}
	s->pause = PAUSE_BETWEEN;
	while (at < len && s->state != STATE_WAIT && s->state != STATE_DEAD) {
		bool of_body = is_in_body(s);
		struct access_record *record = of_body ? s->record : NULL;

		if (out->nbytes >= OUTQ_HIGH) {
			s->pause = PAUSE_OUTPUT;
			break;
		}
		n = steps[s->state](s, data + at, len - at, out);
		if (n < 0) {
			s->state = STATE_DEAD;
			*used = len;
			return STEP_FAILED;
		}
		if (n == 0)
			break;
		at += (size_t)n;
		if (of_body)
			s->window.nbytes += (size_t)n;
		if (record)
			record->received += (size_t)n;
	}
	if (is_in_body(s))
		http_body_pace_end(s, out);
	else if (s->state == STATE_HEAD && s->pause != PAUSE_OUTPUT && at < len)
		s->pause = PAUSE_INSIDE;
	*used = s->state == STATE_DEAD ? len : at;
	if (s->state == STATE_WAIT)
		return STEP_BLOCKED;
	return s->state == STATE_DEAD ? STEP_DONE : STEP_MORE;
}

static enum step http_eof(void *session, size_t left, struct outq *out)
{
	struct http_session *s = session;
	int err = 0;

	if (s->state == STATE_WAIT)
		return STEP_BLOCKED;
	if (s->state == STATE_HEAD && left)
		err = refuse_head(s, out, &head_cut);
	else if (s->state != STATE_HEAD && s->state != STATE_DEAD && s->progress != RESPONSE_SENT)
		err = refuse_head(s, out, &body_cut);
	else if (is_in_body(s) && s->record)
		s->record->is_cut = true;
	s->state = STATE_DEAD;
	return err ? STEP_FAILED : STEP_DONE;
}

static enum phase http_phase(const void *session)
{
	const struct http_session *s = session;

	if (s->state == STATE_HEAD && s->pause != PAUSE_OUTPUT)
		return s->pause == PAUSE_INSIDE ? PHASE_HEAD : PHASE_IDLE;
	return s->state == STATE_DEAD ? PHASE_IDLE : PHASE_BODY;
}

static enum step http_drain(void *session)
{
	struct http_session *s = session;

	s->life = LIFE_DRAIN;
	if (s->state == STATE_HEAD && s->pause == PAUSE_BETWEEN)
		s->state = STATE_DEAD;
	return s->state == STATE_DEAD ? STEP_DONE : STEP_MORE;
}

static int http_respond_again(void *session, struct outq_file *file, uint32_t note, int err, struct outq *out)
{
	struct http_session *s = session;

	site_tick(s->site);
	return http_static_again(s, file, note, err, out);
}

static enum close_reason http_limit(void *session)
{
	struct http_session *s = session;
	uint64_t most_ms = s->site->options->request_timeout_us / 1000;

	if (s->state == STATE_DEAD || !s->begun_ms)
		return CLOSE_NONE;
	site_tick(s->site);
	if (most_ms && s->site->now_ms - s->begun_ms >= most_ms)
		return CLOSE_REQUEST;
	return is_in_body(s) && http_body_is_slow(s) ? CLOSE_BODY_RATE : CLOSE_NONE;
}

static enum step http_timeout(void *session, enum close_reason reason, struct outq *out)
{
	static const struct http_refusal head = {408, REFUSE_PLAIN, "the header block took too long"};
	static const struct http_refusal request = {408, REFUSE_SLOW, "the request takes too long"};
	static const struct http_refusal body = {408, REFUSE_SLOW, "the body comes too slowly"};
	const struct http_refusal *why = reason == CLOSE_HEADER	   ? &head
					 : reason == CLOSE_REQUEST ? &request
								   : &body;
	struct http_session *s = session;

	if (is_in_body(s))
		return http_body_refuse(s, out, why);
	return refuse_head(s, out, why) ? STEP_FAILED : STEP_DONE;
}

/* What every service has that speaks HTTP. */
#define SERVICE_OF_HTTP                                                                                      \
	.alpn = "http/1.1",                                                                                  \
	.plain_response =                                                                                    \
		"HTTP/1.1 400 Bad Request\r\nServer: taiod\r\nContent-Type: text/plain; charset=utf-8\r\n"   \
		"Content-Length: 55\r\nConnection: close\r\n\r\n"                                            \
		"400 Bad Request: plain HTTP on a port that expects TLS\n",                                  \
	.site_close = http_site_close, .input = http_input, .eof = http_eof, .phase = http_phase,            \
	.drain = http_drain, .respond_again = http_respond_again, .limit = http_limit,                       \
	.timeout = http_timeout

const struct service service_http = {
	.name = "http",
	.summary = "HTTP/1.1: files, /echo, /healthz, /metrics",
	.access = ACCESS_RESPONSES,
	SERVICE_OF_HTTP,
	.session_size = sizeof(struct http_session),
	.open = http_open,
	.options = http_options,
	.options_size = sizeof(struct http_options),
	.words = http_words,
	.words_size = sizeof(struct http_words),
	.max_files = http_max_files,
	.verify = http_verify,
	.site_open = http_site_open,
	.site_reload = http_site_reload,
};

const struct service service_admin = {
	.name = "admin",
	.summary = "for whoever watches it, over HTTP/1.1: /metrics, /healthz, /readyz, /connections, which whoever "
		   "may connect to it at unix:/PATH may end",
	SERVICE_OF_HTTP,
	.session_size = sizeof(struct http_admin),
	.open = http_open,
	.close = http_admin_close,
	.site_open = admin_site_open,
};
