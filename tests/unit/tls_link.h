/* SPDX-License-Identifier: MIT */
/*
 * A client and a server session joined by memory, for the tests of tls/. Spans handed to a session are
 * allocations of their exact size that die with the call, so that a sanitizer sees an overrun and a use
 * after the call.
 */
#ifndef TLS_LINK_H
#define TLS_LINK_H

#include "tls/tls_int.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// cmocka needs what is above.
#include <cmocka.h>

#define PATH_LEN 64
static char dir[PATH_LEN];

static inline const char *path(const char *name)
{
	static char ring[8][PATH_LEN * 2];
	static unsigned int at;
	char *text = ring[at++ % 8];

	snprintf(text, sizeof(ring[0]), "%s/%s", dir, name);
	return text;
}

/* The two directions. */
enum side { CLIENT, SERVER };

struct wire {
	unsigned char *data;
	size_t begin, end, cap;
};

struct cut {
	const char *name;
	size_t in_max, out_max;
	bool random;
};

static const struct cut whole = {"whole", 65536, 65536, false};

struct link {
	struct tls *tls[2];
	struct wire to[2]; /* to[CLIENT]: bytes on their way to the client */
	struct cut cut;
	unsigned int seed;
};

static inline void wire_push(struct wire *wire, const void *data, size_t len)
{
	if (wire->cap - wire->end < len) {
		wire->cap = 2 * wire->cap + len;
		wire->data = realloc(wire->data, wire->cap);
		assert_non_null(wire->data);
	}
	if (len)
		memcpy(wire->data + wire->end, data, len);
	wire->end += len;
}

static inline size_t wire_len(const struct wire *wire)
{
	return wire->end - wire->begin;
}

static inline size_t cut_size(struct link *link, size_t max)
{
	return link->cut.random ? 1 + (size_t)rand_r(&link->seed) % max : max;
}

enum op { OP_SHAKE, OP_READ, OP_WRITE, OP_SHUT };

/* One call, on copies of exactly the bytes it may see. */
static inline enum step call_cut(struct link *link, enum side side, enum op op, void *plain, size_t len,
				 size_t *n, size_t in_max, size_t out_max)
{
	struct wire *from = &link->to[side];
	size_t in_len = wire_len(from) < in_max ? wire_len(from) : in_max;
	unsigned char *in = malloc(in_len), *out = malloc(out_max);
	struct tls_io io = {.in = in, .in_len = in_len, .out = out, .out_cap = out_max};
	struct tls *tls = link->tls[side];
	enum step res;

	if (in_len)
		memcpy(in, from->data + from->begin, in_len);
	switch (op) {
	case OP_SHAKE:
		res = tls_handshake(tls, &io);
		break;
	case OP_READ:
		res = tls_read(tls, &io, plain, len, n);
		assert_int_equal(res == STEP_DONE, *n > 0);
		break;
	case OP_WRITE:
		res = tls_write(tls, &io, plain, len, n);
		assert_int_equal(res == STEP_DONE, *n > 0);
		break;
	default:
		res = tls_shutdown(tls, &io);
	}
	if (res == STEP_MORE)
		assert_int_equal(io.in_len, 0);
	assert_true(io.out_len <= io.out_cap);
	assert_int_equal(ERR_peek_error(), 0);
	from->begin += in_len - io.in_len;
	wire_push(&link->to[!side], out, io.out_len);
	free(in);
	free(out);
	return res;
}

static inline enum step call(struct link *link, enum side side, enum op op, void *plain, size_t len,
			     size_t *n)
{
	return call_cut(link, side, op, plain, len, n, cut_size(link, link->cut.in_max),
			cut_size(link, link->cut.out_max));
}

static inline enum step shake_one(struct link *link, enum side side)
{
	return call(link, side, OP_SHAKE, NULL, 0, NULL);
}

static inline void link_open(struct link *link, struct tls_ctx *client, struct tls_ctx *server,
			     const char *host)
{
	*link = (struct link){.cut = whole, .seed = 1};
	link->tls[CLIENT] = tls_connect(client, host);
	link->tls[SERVER] = tls_accept(server);
	assert_non_null(link->tls[CLIENT]);
	assert_non_null(link->tls[SERVER]);
}

static inline void link_close(struct link *link)
{
	tls_free(link->tls[CLIENT]);
	tls_free(link->tls[SERVER]);
	free(link->to[CLIENT].data);
	free(link->to[SERVER].data);
}

/* Runs both handshakes to their ends; a side that is through flushes what it holds. */
static inline void shake(struct link *link, enum step res[2])
{
	res[CLIENT] = res[SERVER] = STEP_MORE;
	for (unsigned int turn = 0; turn < 100000; turn++) {
		bool moved = false;

		for (enum side side = CLIENT; side <= SERVER; side++) {
			bool is_open = res[side] == STEP_MORE || res[side] == STEP_BLOCKED;

			if (!is_open && !tls_has_output(link->tls[side]))
				continue;
			if (is_open && turn > 1 && res[side] == STEP_MORE && !wire_len(&link->to[side]))
				continue;
			moved = true;
			if (is_open)
				res[side] = shake_one(link, side);
			else
				shake_one(link, side);
		}
		if (!moved)
			return;
	}
	fail_msg("the handshake never ends");
}

static inline void shake_ok(struct link *link)
{
	enum step res[2];

	shake(link, res);
	if (res[CLIENT] != STEP_DONE || res[SERVER] != STEP_DONE)
		fail_msg("client: %d %s; server: %d %s", res[CLIENT], tls_error(link->tls[CLIENT]),
			 res[SERVER], tls_error(link->tls[SERVER]));
	assert_string_equal(tls_error(link->tls[SERVER]), "");
}

static inline struct tls_ctx *server_ctx_with_keys(const char *pair, const char *alpn,
						   struct tls_ticket_keys *keys)
{
	char cert[PATH_LEN], key[PATH_LEN], why[TLS_WHY_LEN];
	struct tls_server_params params = {.alpn = alpn, .ticket_keys = keys};
	struct tls_ctx *ctx;

	snprintf(cert, sizeof(cert), "%s.crt", pair);
	snprintf(key, sizeof(key), "%s.key", pair);
	params.cert_file = path(cert);
	params.key_file = path(key);
	if (tls_ctx_server(&ctx, &params, why))
		fail_msg("%s", why);
	return ctx;
}

static inline struct tls_ctx *server_ctx(const char *pair, const char *alpn)
{
	return server_ctx_with_keys(pair, alpn, NULL);
}

static inline struct tls_ctx *client_ctx(const char *ca, const char *alpn)
{
	struct tls_client_params params = {.ca_file = ca ? path(ca) : NULL, .insecure = !ca, .alpn = alpn};
	char why[TLS_WHY_LEN];
	struct tls_ctx *ctx;

	if (tls_ctx_client(&ctx, &params, why))
		fail_msg("%s", why);
	return ctx;
}

static inline void cap_version(struct link *link, int version)
{
	SSL_set_max_proto_version(link->tls[CLIENT]->ssl, version);
}

/* A link whose handshake is done; the contexts live as long as its sessions. */
static inline void link_ready(struct link *link, int version, const struct cut *cut)
{
	struct tls_ctx *client = client_ctx("good.crt", NULL), *server = server_ctx("good", NULL);

	link_open(link, client, server, "localhost");
	tls_ctx_put(client);
	tls_ctx_put(server);
	link->cut = *cut;
	cap_version(link, version);
	shake_ok(link);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static inline void make_pair(const char *pair, const char *host)
{
	char cert[PATH_LEN], key[PATH_LEN], why[TLS_WHY_LEN];

	snprintf(cert, sizeof(cert), "%s.crt", pair);
	snprintf(key, sizeof(key), "%s.key", pair);
	if (tls_self_signed(path(cert), path(key), host, 30, why))
		fail_msg("%s", why);
}

static inline int make_material(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/tls_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	make_pair("good", "taio.example");
	return 0;
}

static inline int remove_material(void **state)
{
	char command[PATH_LEN + 16];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

#endif
