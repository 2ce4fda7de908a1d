/* SPDX-License-Identifier: MIT */
/* Sessions: every way to cut the bytes, orderly ends, garbage, key updates, memory. */
#include "tls_link.h"

#include <malloc.h>

static const struct cut cuts[] = {
	{"whole", 65536, 65536, false}, {"1 byte in", 1, 65536, false},	   {"1 byte out", 65536, 1, false},
	{"1 byte each", 1, 1, false},	{"small out", 65536, 1100, false}, {"random", 20000, 20000, true},
	{"tiny random", 40, 40, true},
};

static unsigned char pattern(uint64_t at)
{
	return (at * 0x9e3779b97f4a7c15u) >> 56;
}

struct flow {
	uint64_t sent, got, total;
};

static void flow_send(struct link *link, enum side side, struct flow *flow)
{
	unsigned char plain[40000];
	size_t want = flow->total - flow->sent, n = 0;
	enum step res;

	if (!want && !tls_has_output(link->tls[side]))
		return;
	/* More than fits in one call, but not so much that most of it is made in vain. */
	if (want > 16 * link->cut.out_max + 64)
		want = 16 * link->cut.out_max + 64;
	if (want > sizeof(plain))
		want = sizeof(plain);
	if (link->cut.random && want)
		want = 1 + (size_t)rand_r(&link->seed) % want;
	for (size_t i = 0; i < want; i++)
		plain[i] = pattern(flow->sent + i);
	res = want ? call(link, side, OP_WRITE, plain, want, &n) : call(link, side, OP_READ, plain, 1, &n);
	assert_true(res == STEP_DONE || res == STEP_BLOCKED || !want);
	flow->sent += n;
}

static void flow_receive(struct link *link, enum side side, struct flow *flow)
{
	unsigned char plain[20000];
	enum step res;
	size_t n, before;

	do {
		before = wire_len(&link->to[side]);
		/* This side's own output may be in flight: no room for more of it while reading. */
		res = call_cut(link, side, OP_READ, plain, cut_size(link, sizeof(plain)), &n,
			       cut_size(link, link->cut.in_max), 0);
		assert_in_range(res, STEP_DONE, STEP_BLOCKED);
		for (size_t i = 0; i < n; i++)
			if (plain[i] != pattern(flow->got + i))
				fail_msg("byte %zu of the flow is wrong", (size_t)flow->got + i);
		flow->got += n;
	} while (n || wire_len(&link->to[side]) < before);
	assert_int_equal(wire_len(&link->to[side]), 0);
	assert_false(tls_has_input(link->tls[side]));
}

static void transfer(struct link *link, uint64_t total)
{
	struct flow up = {.total = total}, down = {.total = total};

	while (up.got < total || down.got < total) {
		uint64_t before = up.sent + up.got + down.sent + down.got + link->to[0].end + link->to[1].end;

		flow_send(link, CLIENT, &up);
		flow_receive(link, SERVER, &up);
		flow_send(link, SERVER, &down);
		flow_receive(link, CLIENT, &down);
		if (before == up.sent + up.got + down.sent + down.got + link->to[0].end + link->to[1].end)
			fail_msg("nothing moves");
	}
	assert_int_equal(up.got, total);
	assert_int_equal(down.got, total);
}

static void transfers_are_whole_however_bytes_are_cut(void **state)
{
	for (size_t v = 0; v < 2; v++)
		for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
			bool is_tiny = cuts[i].in_max < 100 || cuts[i].out_max < 100;
			struct tls_info info;
			struct link link;

			link_ready(&link, versions[v], &cuts[i]);
			tls_info(link.tls[SERVER], &info);
			assert_string_equal(info.version, v ? "TLSv1.3" : "TLSv1.2");
			assert_non_null(strstr(info.cipher, "AES_128_GCM")
						?: strstr(info.cipher, "AES128-GCM"));
			transfer(&link, is_tiny ? 50000 : 3000000);
			link_close(&link);
		}
}

static void close_notify_ends_one_direction_only(void **state)
{
	for (size_t v = 0; v < 2; v++) {
		unsigned char plain[16];
		struct link link;
		size_t n;

		link_ready(&link, versions[v], &whole);
		assert_int_equal(call(&link, CLIENT, OP_READ, plain, 16, &n), STEP_MORE);
		assert_int_equal(call(&link, CLIENT, OP_WRITE, "last", 4, &n), STEP_DONE);
		assert_int_equal(call(&link, CLIENT, OP_SHUT, NULL, 0, NULL), STEP_DONE);
		n = wire_len(&link.to[SERVER]);
		assert_int_equal(call(&link, CLIENT, OP_SHUT, NULL, 0, NULL), STEP_DONE);
		assert_int_equal(wire_len(&link.to[SERVER]), n);
		assert_int_equal(call(&link, SERVER, OP_READ, plain, 16, &n), STEP_DONE);
		assert_memory_equal(plain, "last", 4);
		assert_int_equal(call(&link, SERVER, OP_READ, plain, 16, &n), STEP_CLOSED);
		assert_int_equal(call(&link, SERVER, OP_READ, plain, 16, &n), STEP_CLOSED);
		assert_int_equal(call(&link, SERVER, OP_WRITE, "answer", 6, &n), STEP_DONE);
		assert_int_equal(call(&link, SERVER, OP_SHUT, NULL, 0, NULL), STEP_DONE);
		assert_int_equal(call(&link, CLIENT, OP_READ, plain, 16, &n), STEP_DONE);
		assert_int_equal(n, 6);
		assert_int_equal(call(&link, CLIENT, OP_READ, plain, 16, &n), STEP_CLOSED);
		link_close(&link);
	}
}

static void close_notify_waits_for_room(void **state)
{
	struct link link;

	link_ready(&link, TLS1_3_VERSION, &whole);
	assert_int_equal(call_cut(&link, SERVER, OP_SHUT, NULL, 0, NULL, 0, 3), STEP_BLOCKED);
	assert_true(tls_has_output(link.tls[SERVER]));
	assert_int_equal(call_cut(&link, SERVER, OP_SHUT, NULL, 0, NULL, 0, 3), STEP_BLOCKED);
	assert_int_equal(call_cut(&link, SERVER, OP_SHUT, NULL, 0, NULL, 0, 100), STEP_DONE);
	assert_false(tls_has_output(link.tls[SERVER]));
	link_close(&link);
}

static void a_session_may_end_while_it_holds_output(void **state)
{
	struct link link;
	size_t n;

	link_ready(&link, TLS1_3_VERSION, &whole);
	assert_int_equal(call_cut(&link, SERVER, OP_WRITE, "hello", 5, &n, 0, 3), STEP_DONE);
	assert_true(tls_has_output(link.tls[SERVER]));
	assert_int_equal(call_cut(&link, SERVER, OP_WRITE, "again", 5, &n, 0, 3), STEP_BLOCKED);
	link_close(&link);
}

static void shutdown_before_the_handshake_sends_nothing(void **state)
{
	struct tls_ctx *client = client_ctx(NULL, NULL), *server = server_ctx("good", NULL);
	struct link link;

	link_open(&link, client, server, "localhost");
	assert_int_equal(call(&link, SERVER, OP_SHUT, NULL, 0, NULL), STEP_DONE);
	assert_int_equal(wire_len(&link.to[CLIENT]), 0);
	link_close(&link);
	tls_ctx_put(client);
	tls_ctx_put(server);
}

#define BYTES(text) text, sizeof(text) - 1

static void what_is_not_tls_fails_with_a_line_that_says_so(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *want;
		bool alert;
	} table[] = {
		{BYTES("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "plain HTTP on a TLS port", false},
		{BYTES("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "plain HTTP on a TLS port", false},
		{BYTES("OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "plain HTTP on a TLS port", false},
		{BYTES("LOCK / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "plain HTTP on a TLS port", false},
		{BYTES("CONNECT localhost:443 HTTP/1.1\r\n\r\n"), "plain HTTP CONNECT", false},
		{BYTES("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "does not speak TLS", false},
		{BYTES("HI1 there"), "does not speak TLS", false},
		{BYTES("\x16\x03\x01\xff\xff garbage of a length"), "does not speak TLS", true},
		{BYTES("\x16\x03\x01\x01\x02\x09garbage"), NULL, false},
		{BYTES("\x17\x03\x03\0\x07garbage"), "out of order", true},
	};
	struct tls_ctx *server = server_ctx("good", NULL), *client = client_ctx("good.crt", NULL);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct link link;

		link_open(&link, client, server, "localhost");
		wire_push(&link.to[SERVER], table[i].in, table[i].len);
		if (!table[i].want) {
			assert_int_equal(shake_one(&link, SERVER), STEP_MORE);
		} else {
			assert_int_equal(shake_one(&link, SERVER), STEP_FAILED);
			if (!strstr(tls_error(link.tls[SERVER]), table[i].want))
				fail_msg("row %zu: %s", i, tls_error(link.tls[SERVER]));
			assert_int_equal(shake_one(&link, SERVER), STEP_FAILED);
			assert_int_equal(wire_len(&link.to[CLIENT]), table[i].alert ? 7 : 0);
		}
		link_close(&link);
		/* The next one on this thread sees none of it. */
		link_open(&link, client, server, "localhost");
		shake_ok(&link);
		link_close(&link);
	}
	tls_ctx_put(server);
	tls_ctx_put(client);
}

static void an_alert_waits_for_room(void **state)
{
	struct tls_ctx *server = server_ctx("good", NULL), *client = client_ctx(NULL, NULL);
	struct link link;

	link_open(&link, client, server, "localhost");
	wire_push(&link.to[SERVER], "\x17\x03\x03\0\x07garbage", 12);
	assert_int_equal(call_cut(&link, SERVER, OP_SHAKE, NULL, 0, NULL, 100, 2), STEP_FAILED);
	assert_true(tls_has_output(link.tls[SERVER]));
	assert_int_equal(call_cut(&link, SERVER, OP_SHUT, NULL, 0, NULL, 100, 100), STEP_FAILED);
	assert_int_equal(wire_len(&link.to[CLIENT]), 7);
	assert_false(tls_has_output(link.tls[SERVER]));
	link_close(&link);
	tls_ctx_put(server);
	tls_ctx_put(client);
}

static void a_handshake_cut_anywhere_waits_and_leaves_nothing(void **state)
{
	struct tls_ctx *server = server_ctx("good", NULL), *client = client_ctx("good.crt", NULL);

	for (size_t len = 0; len < 400; len += 7) {
		struct link link;

		link_open(&link, client, server, "localhost");
		shake_one(&link, CLIENT);
		if (len >= wire_len(&link.to[SERVER])) {
			link_close(&link);
			break;
		}
		assert_int_equal(call_cut(&link, SERVER, OP_SHAKE, NULL, 0, NULL, len, 65536), STEP_MORE);
		assert_int_equal(wire_len(&link.to[CLIENT]), 0);
		link_close(&link);
	}
	tls_ctx_put(server);
	tls_ctx_put(client);
}

static void a_forged_record_ends_the_session(void **state)
{
	for (size_t v = 0; v < 2; v++) {
		unsigned char plain[16];
		struct link link;
		size_t n;

		link_ready(&link, versions[v], &whole);
		assert_int_equal(call(&link, CLIENT, OP_WRITE, "hello", 5, &n), STEP_DONE);
		link.to[SERVER].data[link.to[SERVER].end - 1] ^= 1;
		assert_int_equal(call(&link, SERVER, OP_READ, plain, 16, &n), STEP_FAILED);
		assert_string_equal(tls_error(link.tls[SERVER]), "a record was forged or damaged");
		assert_int_equal(call(&link, SERVER, OP_WRITE, "x", 1, &n), STEP_FAILED);
		while (call(&link, CLIENT, OP_READ, plain, 16, &n) == STEP_DONE)
			;
		assert_string_equal(tls_error(link.tls[CLIENT]), "the peer sent alert \"bad record mac\"");
		link_close(&link);
	}
}

/*
 * One of every length: what is too short to be decrypted is the peer's fault, too, and no "internal error".
 */
static void a_record_of_garbage_is_blamed_on_the_peer(void **state)
{
	for (size_t v = 0; v < 2; v++)
		for (size_t len = 1; len < 40; len++) {
			unsigned char record[5 + 40] = {0x17, 3, 3, 0, (unsigned char)len}, plain[16];
			struct link link;
			size_t n;

			memset(record + 5, 0x5a, len);
			link_ready(&link, versions[v], &whole);
			wire_push(&link.to[SERVER], record, 5 + len);
			assert_int_equal(call(&link, SERVER, OP_READ, plain, 16, &n), STEP_FAILED);
			if (!strstr(tls_error(link.tls[SERVER]), "record"))
				fail_msg("%zu bytes: %s", len, tls_error(link.tls[SERVER]));
			link_close(&link);
		}
}

static void key_updates_are_answered_and_change_nothing(void **state)
{
	struct link link;

	link_ready(&link, TLS1_3_VERSION, &whole);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(SSL_key_update(link.tls[i & 1]->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		transfer(&link, 100000);
	}
	link_close(&link);
}

/* A peer that asks for answers and does not read them stops being read, and the answers arrive in the end. */
static void a_flood_of_key_updates_is_held_within_bounds(void **state)
{
	enum step res = STEP_MORE;
	unsigned char plain[16];
	unsigned int i;
	struct link link;
	size_t n;

	link_ready(&link, TLS1_3_VERSION, &whole);
	for (i = 0; i < 1000 && (res == STEP_DONE || res == STEP_MORE || res == STEP_BLOCKED); i++) {
		assert_int_equal(SSL_key_update(link.tls[CLIENT]->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(call(&link, CLIENT, OP_WRITE, "x", 1, &n), STEP_DONE);
		res = call_cut(&link, SERVER, OP_READ, plain, 16, &n, 65536, 0);
		assert_true(tls_held(link.tls[SERVER]) < 5000);
	}
	assert_int_equal(res, STEP_BLOCKED);
	assert_true(wire_len(&link.to[SERVER]) > 0);
	do {
		res = call(&link, SERVER, OP_READ, plain, 16, &n);
	} while (res == STEP_DONE);
	assert_int_equal(res, STEP_MORE);
	transfer(&link, 1000);
	link_close(&link);
}

/*
 * 24 KiB is what a server may take for it, all included. From 3.2 on OpenSSL has two record layers of 4.4 KiB
 * for each session, which nothing can make smaller.
 */
#define SESSION_MAX (OPENSSL_VERSION_NUMBER < 0x30200000L ? 16384 : 22016)

static void an_idle_session_is_small(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip();
#else
	enum { NSESSIONS = 200 };
	struct link links[NSESSIONS];
	size_t before, both, client;
	unsigned char plain[16];
	size_t n;

	for (size_t v = 0; v < 2; v++) {
		struct tls_ctx *ctx = client_ctx("good.crt", NULL), *server = server_ctx("good", NULL);

		before = mallinfo2().uordblks;
		for (size_t i = 0; i < NSESSIONS; i++) {
			link_open(&links[i], ctx, server, "localhost");
			cap_version(&links[i], versions[v]);
			shake_ok(&links[i]);
			call(&links[i], CLIENT, OP_READ, plain, 16, &n);
			transfer(&links[i], 1000);
			free(links[i].to[0].data);
			free(links[i].to[1].data);
			links[i].to[0] = links[i].to[1] = (struct wire){0};
		}
		both = mallinfo2().uordblks - before;
		for (size_t i = 0; i < NSESSIONS; i++) {
			tls_free(links[i].tls[SERVER]);
			links[i].tls[SERVER] = NULL;
		}
		client = mallinfo2().uordblks - before;
		print_message("%zu bytes\n", (both - client) / NSESSIONS);
		assert_true((both - client) / NSESSIONS < SESSION_MAX);
		for (size_t i = 0; i < NSESSIONS; i++)
			link_close(&links[i]);
		tls_ctx_put(ctx);
		tls_ctx_put(server);
	}
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transfers_are_whole_however_bytes_are_cut),
		cmocka_unit_test(close_notify_ends_one_direction_only),
		cmocka_unit_test(close_notify_waits_for_room),
		cmocka_unit_test(a_session_may_end_while_it_holds_output),
		cmocka_unit_test(shutdown_before_the_handshake_sends_nothing),
		cmocka_unit_test(what_is_not_tls_fails_with_a_line_that_says_so),
		cmocka_unit_test(an_alert_waits_for_room),
		cmocka_unit_test(a_handshake_cut_anywhere_waits_and_leaves_nothing),
		cmocka_unit_test(a_forged_record_ends_the_session),
		cmocka_unit_test(a_record_of_garbage_is_blamed_on_the_peer),
		cmocka_unit_test(key_updates_are_answered_and_change_nothing),
		cmocka_unit_test(a_flood_of_key_updates_is_held_within_bounds),
		cmocka_unit_test(an_idle_session_is_small),
	};

	return cmocka_run_group_tests(tests, make_material, remove_material);
}
