/* SPDX-License-Identifier: MIT */
/*
 * All connections are looked at, and counted; those that are listed are found by a heap of as many, so that
 * few bytes are touched of most.
 */
#include "list.h"

#include "base/addr.h"
#include "base/clock.h"
#include "conn.h"
#include "fsm.h"

#include <stdio.h>
#include <stdlib.h>

/* Services that connections of a worker may have: those of listeners, and that of backends. */
#define NSERVICES 16

struct list_count {
	const char *name;
	unsigned int n;
};

struct listing {
	uint64_t now_us;
	enum roster_order order;
	struct entry {
		const struct conn *conn;
		uint64_t key; /* the largest are listed */
	} * entries;
	unsigned int n, most;
	unsigned int states[CONN_NSTATES];
	struct list_count services[NSERVICES];
};

/* --- which --- */

/* Since when its output is under way. The stamp has 32 bits: of more than 71 minutes they tell less. */
static uint32_t waits_us(const struct conn *c, uint64_t now_us)
{
	return op_is_idle(&c->wr) ? 0 : (uint32_t)now_us - c->wr.stamp;
}

static uint64_t key_of(const struct conn *c, const struct listing *listing)
{
	switch (listing->order) {
	case ROSTER_AGE:
		return UINT64_MAX - c->id;
	case ROSTER_IDLE:
		return listing->now_us - c->moved_us;
	case ROSTER_BYTES:
		return c->bytes_in + c->bytes_out;
	case ROSTER_WAITS:
		return waits_us(c, listing->now_us);
	case ROSTER_NEWEST:
	case ROSTER_NORDERS:
		break;
	}
	return c->id;
}

/* Moves the entry at @i down to where it belongs in the heap, whose smallest key is at 0. */
static void sink(struct listing *listing, unsigned int i)
{
	struct entry *at = listing->entries, moved = at[i];
	unsigned int child;

	for (; (child = 2 * i + 1) < listing->n; i = child) {
		if (child + 1 < listing->n && at[child + 1].key < at[child].key)
			child++;
		if (moved.key <= at[child].key)
			break;
		at[i] = at[child];
	}
	at[i] = moved;
}

static void add(struct listing *listing, const struct conn *c)
{
	struct entry entry = {c, key_of(c, listing)};

	if (listing->n < listing->most) {
		listing->entries[listing->n++] = entry;
		if (listing->n < listing->most)
			return;
		for (unsigned int i = listing->n / 2; i--;)
			sink(listing, i);
	} else if (listing->most && entry.key > listing->entries[0].key) {
		listing->entries[0] = entry;
		sink(listing, 0);
	}
}

static void count_service(struct listing *listing, const struct conn *c)
{
	const char *name = c->endpoint->service->name;
	struct list_count *of = listing->services;

	while (of->name && of->name != name && of < &listing->services[NSERVICES - 1])
		of++;
	of->name = name;
	of->n++;
}

static int by_key(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	return left->key > right->key ? -1 : left->key < right->key;
}

static void look(struct listing *listing, const struct shard *shard)
{
	const struct conn *c;

	LIST_FOREACH (c, &shard->conns, link) {
		listing->states[c->state]++;
		count_service(listing, c);
		add(listing, c);
	}
	qsort(listing->entries, listing->n, sizeof(listing->entries[0]), by_key);
}

/* --- as JSON --- */

static double seconds(uint64_t us)
{
	return (double)us / 1e6;
}

/* An address or a path, which may have any bytes. */
static void write_text(FILE *to, const char *name, const char *text)
{
	fprintf(to, "\"%s\": \"", name);
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			fputc('?', to);
		else
			fprintf(to, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	}
	fputs("\", ", to);
}

/* In seconds from @now_us, or null. */
static void write_deadline(FILE *to, const struct conn *c, uint64_t now_us)
{
	if (c->deadline_class == DEADLINE_NONE)
		fputs("null", to);
	else
		fprintf(to, "%.3f", ((double)c->deadline_us - (double)now_us) / 1e6);
}

/* Where its session is; the session of one that does not serve yet, or no more, is not asked. */
static const char *phase_of(const struct conn *c)
{
	static const char *const names[] = {
		[PHASE_IDLE] = "\"idle\"", [PHASE_HEAD] = "\"head\"", [PHASE_BODY] = "\"body\""};

	return c->state == CONN_SERVE ? names[c->endpoint->service->phase(c->session)] : "null";
}

static void write_waits(FILE *to, const struct conn *c, uint64_t now_us)
{
	static const char *const names[] = {
		[OP_READ] = "read",	  [OP_WRITE] = "write", [OP_FILE] = "file-read",
		[OP_CONNECT] = "connect", [OP_ROOM] = "poll",
	};

	if (op_is_idle(&c->wr))
		fputs("\"waits\": null, \"waits_s\": null, ", to);
	else
		fprintf(to, "\"waits\": \"%s\", \"waits_s\": %.3f, ", names[c->wr.kind],
			seconds(waits_us(c, now_us)));
}

static void write_pair(FILE *to, const struct conn *c, unsigned int worker)
{
	const struct service *service = c->endpoint->service;
	const struct peer *peer = service->pair ? service->pair(c->session) : NULL;
	const struct conn *pair = (const struct conn *)peer;
	char text[ADDR_TEXT_LEN];

	if (!pair) {
		fputs("\"pair\": null, \"backend\": null, ", to);
		return;
	}
	fprintf(to, "\"pair\": \"%u-%llu\", ", worker, (unsigned long long)pair->id);
	write_text(to, "backend", addr_text(pair->is_outgoing ? &pair->peer : &c->peer, text));
}

static void write_conn(FILE *to, const struct conn *c, unsigned int worker, uint64_t now_us)
{
	char peer[ADDR_TEXT_LEN];

	fprintf(to, "{\"id\": \"%u-%llu\", \"fd\": %d, \"service\": \"%s\", ", worker,
		(unsigned long long)c->id, c->fd, c->endpoint->service->name);
	write_text(to, "listener", c->group->where);
	write_text(to, "peer", addr_text(&c->peer, peer));
	write_pair(to, c, worker);
	fprintf(to, "\"outgoing\": %s, \"tls\": %s, \"state\": \"%s\", \"phase\": %s, ",
		c->is_outgoing ? "true" : "false", c->endpoint->tls ? "true" : "false",
		conn_state_name((enum conn_state)c->state), phase_of(c));
	fprintf(to, "\"age_s\": %.3f, \"idle_s\": %.3f, \"deadline_s\": ", seconds(now_us - c->opened_us),
		seconds(now_us - c->moved_us));
	write_deadline(to, c, now_us);
	fputs(", ", to);
	write_waits(to, c, now_us);
	fprintf(to, "\"bytes_in\": %llu, \"bytes_out\": %llu, \"queued\": %llu, \"memory\": %zu}",
		(unsigned long long)c->bytes_in, (unsigned long long)c->bytes_out,
		(unsigned long long)c->out.nbytes, conn_memory(c) + conn_fixed_memory(c));
}

static void write_counts(FILE *to, const struct listing *listing)
{
	const char *before = "";

	fputs("\"states\": {", to);
	for (int i = 0; i < CONN_NSTATES; i++) {
		if (!listing->states[i])
			continue;
		fprintf(to, "%s\"%s\": %u", before, conn_state_name((enum conn_state)i), listing->states[i]);
		before = ", ";
	}
	fputs("}, \"services\": {", to);
	for (int i = 0; i < NSERVICES && listing->services[i].name; i++)
		fprintf(to, "%s\"%s\": %u", i ? ", " : "", listing->services[i].name, listing->services[i].n);
	fputs("}, ", to);
}

static char *write_all(const struct listing *listing, const struct shard *shard, unsigned int worker,
		       size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);

	if (!to)
		return NULL;
	fprintf(to, "{\"worker\": %u, \"open\": %u, ", worker, shard->nconns);
	write_counts(to, listing);
	fputs("\"connections\": [", to);
	for (unsigned int i = 0; i < listing->n; i++) {
		fputs(i ? ",\n  " : "\n  ", to);
		write_conn(to, listing->entries[i].conn, worker, listing->now_us);
	}
	fputs("]}", to);
	if (!fclose(to))
		return text;
	free(text);
	return NULL;
}

char *conn_list(const struct shard *shard, unsigned int worker, const struct roster_question *question,
		size_t *len)
{
	struct listing listing = {
		.now_us = clock_us(),
		.order = question->order,
		.most = question->most < CONN_LIST_MAX ? question->most : CONN_LIST_MAX,
	};
	char *text;

	listing.entries = calloc(listing.most + 1, sizeof(listing.entries[0]));
	if (!listing.entries)
		return NULL;
	look(&listing, shard);
	text = write_all(&listing, shard, worker, len);
	free(listing.entries);
	return text;
}

/* --- the end of one --- */

/* As when a session asks for it: what the connection waits for is cancelled, and no data that wins the race
 * against that keeps it. What has begun to end already goes on to, sooner. */
static void end(struct conn *c)
{
	if (c->asked == CLOSE_NONE)
		c->asked = CLOSE_ADMIN;
	conn_fsm(c, ON_END, c->asked);
}

bool conn_list_end(struct shard *shard, uint64_t id)
{
	struct conn *c;

	LIST_FOREACH (c, &shard->conns, link) {
		if (c->id != id)
			continue;
		end(c);
		return true;
	}
	return false;
}
