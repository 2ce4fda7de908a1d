/* SPDX-License-Identifier: MIT */
/*
 * A response goes from where it begins in the output of its connection to where the next one begins, or, if
 * there is none, to the end of what is queued. It has been sent once that has, under TLS with the record that
 * it ends in.
 */
#include "access.h"

#include "server/access_log.h"
#include "tls/tls.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static struct conn *conn_of(const struct peer *peer)
{
	return (struct conn *)(uintptr_t)peer;
}

/* --- records --- */

/* More than a line has room for, so that it is seen that there was more, of a target behind its method, too.
 */
#define KEPT_MAX (ACCESS_TEXT_MAX + 16)

static size_t kept_len(struct access_text text)
{
	return text.len > KEPT_MAX ? KEPT_MAX : text.len;
}

static struct access_text copy(char **to, struct access_text from)
{
	struct access_text copied = {from.at ? *to : NULL, kept_len(from)};

	if (from.at)
		*to = mempcpy(*to, from.at, copied.len);
	return copied;
}

/* @part of @from, in the copy of that; one that was cut off is empty. */
static struct access_text same_part(struct access_text part, struct access_text from,
				    struct access_text copied)
{
	size_t begin = part.at ? (size_t)(part.at - from.at) : 0, left;

	if (!part.at)
		return part;
	left = begin < copied.len ? copied.len - begin : 0;
	return (struct access_text){copied.at + (left ? begin : 0), part.len < left ? part.len : left};
}

static struct access_record *record_create(struct conn *c, const struct access_request *request)
{
	size_t size = sizeof(struct access_record) + kept_len(request->line) + kept_len(request->host) +
		      kept_len(request->referer) + kept_len(request->agent);
	struct access_record *r = malloc(size);
	char *to;

	if (!r)
		return NULL;
	*r = (struct access_record){.size = size, .request = *request};
	to = r->text;
	r->request.line = copy(&to, request->line);
	r->request.host = copy(&to, request->host);
	r->request.referer = copy(&to, request->referer);
	r->request.agent = copy(&to, request->agent);
	r->request.method = same_part(request->method, request->line, r->request.line);
	r->request.target = same_part(request->target, request->line, r->request.line);
	r->request.protocol = same_part(request->protocol, request->line, r->request.line);
	r->received = request->nbytes;
	r->begin = outq_end(&c->out);
	r->begun_us = c->shard->now_us - request->took_us;
	c->records_size += size;
	c->shard->fixed += size;
	STAILQ_INSERT_TAIL(&c->records, r, link);
	return r;
}

static void drop_first(struct conn *c)
{
	struct access_record *r = STAILQ_FIRST(&c->records);

	STAILQ_REMOVE_HEAD(&c->records, link);
	c->records_size -= r->size;
	c->shard->fixed -= r->size;
	free(r);
}

struct access_record *conn_access_begin(struct peer *peer, const struct access_request *request)
{
	struct conn *c = conn_of(peer);

	return record_create(c, request);
}

struct access_record *conn_access_find(struct peer *peer, uint32_t number)
{
	struct access_record *r;

	STAILQ_FOREACH (r, &conn_of(peer)->records, link)
		if (r->request.number == number)
			return r;
	return NULL;
}

void conn_access_backend(struct conn *c, const struct sockaddr *to, socklen_t tolen)
{
	const struct sockaddr_un *at = (const struct sockaddr_un *)to;
	char text[ADDR_TEXT_LEN];
	union addr addr = {0};
	struct access_request request = {0};

	if (!c->shard->access || c->endpoint->access != ACCESS_CONNECTIONS)
		return;
	while (!STAILQ_EMPTY(&c->records)) /* one that was tried before */
		drop_first(c);
	if (to->sa_family == AF_UNIX) {
		request.line =
			(struct access_text){at->sun_path, strnlen(at->sun_path, sizeof(at->sun_path))};
	} else {
		memcpy(&addr, to, tolen < sizeof(addr) ? tolen : sizeof(addr));
		request.line.at = addr_text(&addr, text);
		request.line.len = strlen(text);
	}
	record_create(c, &request); /* without memory there is no backend in the line */
}

void conn_access_shift(struct conn *c, uint64_t at, int64_t grown)
{
	struct access_record *r;

	STAILQ_FOREACH (r, &c->records, link)
		if (r->begin > at)
			r->begin += (uint64_t)grown;
}

void conn_access_cut(struct conn *c)
{
	struct access_record *r;

	STAILQ_FOREACH (r, &c->records, link)
		r->is_cut = true;
}

/* --- lines --- */

static struct access_entry entry_of(const struct conn *c, struct tls_info *info)
{
	struct access_entry entry = {
		.client = &c->peer,
		.listener = c->endpoint->listener,
		.service = c->endpoint->service->name,
	};

	if (c->shake || !conn_tls_info(&c->tls, info)) /* a thread has the session */
		return entry;
	entry.version = info->version;
	entry.cipher = info->cipher;
	entry.server_name = info->server_name;
	entry.alpn = info->alpn;
	entry.client_name = info->client_name;
	entry.is_resumed = info->resumed;
	return entry;
}

/* Where the response of @r ends, as far as is known. */
static uint64_t end_of(const struct conn *c, struct access_record *r)
{
	const struct access_record *next = STAILQ_NEXT(r, link);

	return next ? next->begin : outq_end(&c->out);
}

static void write_response(const struct conn *c, struct access_record *r)
{
	uint64_t end = end_of(c, r), taken = c->out.taken;
	struct access_entry entry;
	struct tls_info info;

	if (!c->shard->access)
		return;
	entry = entry_of(c, &info);
	entry.line = r->request.line;
	entry.method = r->request.method;
	entry.target = r->request.target;
	entry.protocol = r->request.protocol;
	entry.host = r->request.host;
	entry.referer = r->request.referer;
	entry.agent = r->request.agent;
	entry.status = r->status;
	entry.received = r->received;
	entry.sent = (end < taken ? end : taken) - (r->begin < taken ? r->begin : taken);
	entry.body = entry.sent > r->head ? entry.sent - r->head : 0;
	entry.is_cut = r->is_cut || taken < end || !r->status;
	entry.took_us = c->shard->now_us - r->begun_us;
	access_queue_put(c->shard->access, &entry);
}

static void write_connection(const struct conn *c)
{
	const struct access_record *backend = STAILQ_FIRST(&c->records);
	struct access_entry entry;
	struct tls_info info;

	if (!c->shard->access)
		return;
	entry = entry_of(c, &info);
	entry.reason = close_reason_name((enum close_reason)c->reason);
	if (backend)
		entry.backend = backend->request.line;
	entry.received = c->bytes_in;
	entry.sent = c->bytes_out;
	entry.took_us = c->shard->now_us - c->opened_us;
	access_queue_put(c->shard->access, &entry);
}

/* Whether nothing is added to the response of @r any more. */
static bool is_whole(const struct conn *c, struct access_record *r)
{
	return r->is_whole || STAILQ_NEXT(r, link) || c->state == CONN_FLUSH || c->state == CONN_LINGER;
}

void conn_access_write_sent(struct conn *c)
{
	struct access_record *r;

	if (c->endpoint->access != ACCESS_RESPONSES || (conn_is_tls(c) && !conn_tls_is_sent(&c->tls)))
		return;
	while ((r = STAILQ_FIRST(&c->records)) && is_whole(c, r) && end_of(c, r) <= c->out.taken) {
		write_response(c, r);
		drop_first(c);
	}
}

void conn_access_write_rest(struct conn *c)
{
	if (c->endpoint->access == ACCESS_CONNECTIONS && !c->is_outgoing)
		write_connection(c);
	while (!STAILQ_EMPTY(&c->records)) {
		if (c->endpoint->access == ACCESS_RESPONSES) {
			struct access_record *r = STAILQ_FIRST(&c->records);

			/* The kernel has not taken what it ends in. */
			r->is_cut |= !is_whole(c, r) || (conn_is_tls(c) && !conn_tls_is_sent(&c->tls));
			write_response(c, r);
		}
		drop_first(c);
	}
}
