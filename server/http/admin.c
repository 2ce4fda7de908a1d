/* SPDX-License-Identifier: MIT */
#include "admin.h"

#include "response.h"
#include "server/roster.h"
#include "target.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

int http_healthz(struct http_session *s, const struct http_request *req, const struct http_path *path,
		 struct outq *out)
{
	return http_response_text(s, out, 200, "Cache-Control: no-store\r\n", "ok\n");
}

/* Connections that are open are answered while the server drains; new ones are refused by the kernel. */
static int readyz(struct http_session *s, const struct http_request *req, const struct http_path *path,
		  struct outq *out)
{
	const bool *draining = s->site->env->draining;

	if (draining && *draining)
		return http_response_text(s, out, 503, "Cache-Control: no-store\r\n", "draining\n");
	return http_response_text(s, out, 200, "Cache-Control: no-store\r\n", "ready\n");
}

/* The response with @text, which is empty afterwards, unless @err tells that it is incomplete. */
static int respond(struct http_session *s, struct outq *out, struct outq *text, int err, const char *type)
{
	char lines[160];
	int n;

	if (!err) {
		n = snprintf(lines, sizeof(lines),
			     "Cache-Control: no-store\r\nContent-Type: %s\r\nContent-Length: %llu\r\n", type,
			     (unsigned long long)text->nbytes);
		err = http_response_head(s, out, 200, lines, (size_t)n, 0);
	}
	if (err || s->is_head)
		outq_clear(text);
	else
		outq_splice(out, text);
	return err;
}

int http_metrics(struct http_session *s, const struct http_request *req, const struct http_path *path,
		 struct outq *out)
{
	const struct service_env *env = s->site->env;
	struct outq text;

	outq_init(&text);
	return respond(s, out, &text, env->metrics(env->metrics_arg, &text),
		       "text/plain; version=0.0.4; charset=utf-8");
}

/* --- /connections: each worker lists its own, and ends them --- */

static struct http_admin *admin_of(struct http_session *s)
{
	return (struct http_admin *)s;
}

static void on_whole(void *arg)
{
	struct http_admin *admin = arg;

	admin->is_whole = true;
	admin->http.site->env->resume(admin->http.peer);
}

/* A decimal number at the beginning of *text, which begins behind it afterwards. */
static bool take_number(struct span *text, uint64_t *value)
{
	size_t n = 0;

	for (*value = 0; n < text->len && text->at[n] >= '0' && text->at[n] <= '9'; n++)
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(text->at[n] - '0'), value))
			return false;
	*text = (struct span){text->at + n, text->len - n};
	return n > 0;
}

static bool take_word(struct span *text, const char *word)
{
	size_t len = strlen(word);

	if (text->len < len || memcmp(text->at, word, len) != 0)
		return false;
	*text = (struct span){text->at + len, text->len - len};
	return true;
}

static bool take_order(struct span *text, enum roster_order *order)
{
	static const char *const names[] = {
#define ORDER_NAME(NAME, name) [ROSTER_##NAME] = #name,
		ROSTER_ORDERS(ORDER_NAME)
#undef ORDER_NAME
	};

	for (*order = 0; *order < ROSTER_NORDERS; ++*order)
		if (take_word(text, names[*order]))
			return true;
	return false;
}

/* "", or of "?sort=ORDER&count=N" one or both. */
static bool read_query(struct span query, struct roster_question *question)
{
	uint64_t count;

	*question = (struct roster_question){.order = ROSTER_NEWEST, .most = UINT_MAX};
	while (query.len) {
		query = (struct span){query.at + 1, query.len - 1}; /* '?', '&' */
		if (take_word(&query, "count=") && take_number(&query, &count))
			question->most = count < UINT_MAX ? (unsigned int)count : UINT_MAX;
		else if (!take_word(&query, "sort=") || !take_order(&query, &question->order))
			return false;
		if (query.len && *query.at != '&')
			return false;
	}
	return true;
}

/* The answer follows once all workers that are asked have given theirs. */
static int ask(struct http_session *s, const struct roster_question *question)
{
	const struct service_env *env = s->site->env;
	struct http_admin *admin = admin_of(s);

	admin->is_whole = false;
	admin->roster = roster_ask(env->room, question, env->desk, on_whole, admin);
	return admin->roster ? HTTP_WAIT : -ENOMEM;
}

static int connections(struct http_session *s, const struct http_request *req, const struct http_path *path,
		       struct outq *out)
{
	static const struct http_refusal form = {
		400, REFUSE_PLAIN, "a query is sort=newest|age|idle|bytes|waits, count=N, or both"};
	struct roster_question question;

	if (req->chunked)
		return http_response_status(s, out, 413, "");
	if (!read_query(path->query, &question))
		return http_refuse(s, out, &form);
	return ask(s, &question);
}

static const struct http_refusal gone = {404, REFUSE_PLAIN, "there is no such connection"};

/* "connections/WORKER-NUMBER" */
static bool read_id(struct span path, struct roster_question *question, uint64_t *worker)
{
	*question = (struct roster_question){0};
	return take_word(&path, "connections/") && take_number(&path, worker) && take_word(&path, "-") &&
	       take_number(&path, &question->ends) && !path.len;
}

/*
 * At a Unix socket alone: its permissions say who may do so, whereas a port can be reached by every user of
 * the machine, by whoever may scrape /metrics, and by what a browser there is shown (a name that is made to
 * lead to 127.0.0.1 makes any page one of our own).
 */
static int end_connection(struct http_session *s, const struct http_request *req,
			  const struct http_path *path, struct outq *out)
{
	static const struct http_refusal forbidden = {
		403, REFUSE_PLAIN, "connections are ended only through a listener at a path (unix:)"};
	static const struct http_refusal form = {400, REFUSE_PLAIN,
						 "an id is as /connections has it: WORKER-NUMBER"};
	const struct service_env *env = s->site->env;
	struct roster_question question;
	uint64_t worker;

	if (!env->is_at_path)
		return http_refuse(s, out, &forbidden);
	if (req->chunked)
		return http_response_status(s, out, 413, "");
	if (!read_id(path->path, &question, &worker))
		return http_refuse(s, out, &form);
	if (worker >= env->room->n || !question.ends)
		return http_refuse(s, out, &gone);
	question.worker = (unsigned int)worker;
	return ask(s, &question);
}

static int join(const struct roster *roster, struct outq *text)
{
	int err = outq_printf(text, "{\"workers\": [");
	const char *before = "\n", *part;
	size_t len;

	for (unsigned int i = 0; i < roster_size(roster) && !err; i++) {
		part = roster_text(roster, i, &len);
		if (!part)
			continue;
		err = outq_printf(text, "%s", before);
		if (!err)
			err = outq_append(text, part, len);
		before = ",\n";
	}
	return err ? err : outq_printf(text, "\n]}\n");
}

static int respond_list(struct http_session *s, struct outq *out, const struct roster *roster)
{
	struct outq text;
	int err;

	outq_init(&text);
	err = join(roster, &text);
	return respond(s, out, &text, err, "application/json");
}

/* It may still wait for the event of what was cancelled. */
static int respond_end(struct http_session *s, struct outq *out, const struct roster *roster)
{
	size_t len;

	if (!roster_text(roster, roster_question(roster)->worker, &len))
		return http_refuse(s, out, &gone);
	return http_response_text(s, out, 202, "Cache-Control: no-store\r\n", "ending\n");
}

int http_admin_answer(struct http_session *s, struct outq *out)
{
	struct http_admin *admin = admin_of(s);
	struct roster *roster = admin->roster;
	int err;

	if (!admin->is_whole)
		return HTTP_WAIT;
	admin->roster = NULL;
	err = roster_question(roster)->ends ? respond_end(s, out, roster) : respond_list(s, out, roster);
	roster_free(roster);
	return err;
}

void http_admin_close(void *session)
{
	struct http_admin *admin = session;

	if (admin->roster)
		roster_free(admin->roster);
}

const struct http_route http_admin_routes[] = {
	{HTTP_PATH("healthz"), HTTP_MAY_GET, HTTP_ALLOW_GET, http_healthz},
	{HTTP_PATH("readyz"), HTTP_MAY_GET, HTTP_ALLOW_GET, readyz},
	{HTTP_PATH("metrics"), HTTP_MAY_GET, HTTP_ALLOW_GET, http_metrics},
	{HTTP_PATH("connections"), HTTP_MAY_GET, HTTP_ALLOW_GET, connections},
	{HTTP_PATH("connections/"), HTTP_BIT(METHOD_DELETE), HTTP_ALLOW_DELETE, end_connection},
	{{0}, 0, NULL, NULL},
};
