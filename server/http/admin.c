/* SPDX-License-Identifier: MIT */
#include "admin.h"

#include "response.h"
#include "server/roster.h"

#include <errno.h>
#include <stdio.h>

int http_healthz(struct http_session *s, const struct http_request *req, struct outq *out)
{
	return http_response_text(s, out, 200, "Cache-Control: no-store\r\n", "ok\n");
}

/* Connections that are open are answered while the server drains; new ones are refused by the kernel. */
static int readyz(struct http_session *s, const struct http_request *req, struct outq *out)
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

int http_metrics(struct http_session *s, const struct http_request *req, struct outq *out)
{
	const struct service_env *env = s->site->env;
	struct outq text;

	outq_init(&text);
	return respond(s, out, &text, env->metrics(env->metrics_arg, &text),
		       "text/plain; version=0.0.4; charset=utf-8");
}

/* --- /connections: each worker lists its own --- */

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

static int connections(struct http_session *s, const struct http_request *req, struct outq *out)
{
	const struct service_env *env = s->site->env;
	struct http_admin *admin = admin_of(s);

	if (req->chunked)
		return http_response_status(s, out, 413, "");
	admin->is_whole = false;
	admin->roster = roster_ask(env->room, env->desk, on_whole, admin);
	return admin->roster ? HTTP_WAIT : -ENOMEM;
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

int http_admin_answer(struct http_session *s, struct outq *out)
{
	struct http_admin *admin = admin_of(s);
	struct outq text;
	int err;

	if (!admin->is_whole)
		return HTTP_WAIT;
	outq_init(&text);
	err = join(admin->roster, &text);
	roster_free(admin->roster);
	admin->roster = NULL;
	return respond(s, out, &text, err, "application/json");
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
	{{0}, 0, NULL, NULL},
};
