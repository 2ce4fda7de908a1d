/* SPDX-License-Identifier: MIT */
/* Lists of ciphers and groups: which are taken, what is offered then, and that each name has to be known. */
#include "tls_link.h"

#include <errno.h>

typedef int check(const char *list, char *why);

static void each_name_has_to_be_known(void **state)
{
	static const struct {
		check *check;
		const char *list, *says; /* says NULL: it is taken */
	} table[] = {
		{tls_check_ciphers, "ECDHE-RSA-AES128-GCM-SHA256", NULL},
		{tls_check_ciphers, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:@STRENGTH", NULL},
		{tls_check_ciphers, "HIGH, !kRSA", NULL},
		{tls_check_ciphers, "DEFAULT:@SECLEVEL=2", NULL},
		{tls_check_ciphers, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM",
		 "'ECDHE-RSA-AES128-GCM' is no "},
		{tls_check_ciphers, "ROT13", "'ROT13' is no cipher of TLS 1.2 that"},
		{tls_check_ciphers, "TLS_AES_128_GCM_SHA256", "is no cipher of TLS 1.2"},
		{tls_check_ciphers, "", "names no cipher"},
		{tls_check_ciphers, "!HIGH", "names no cipher"},
		{tls_check_ciphers, "HIGH:!ALL", "leaves no cipher"},
		{tls_check_ciphersuites, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", NULL},
		{tls_check_ciphersuites, "TLS_AES_256_GCM_SHA384:TLS_NO",
		 "'TLS_NO' is no cipher suite of TLS 1.3"},
		{tls_check_ciphersuites, "ECDHE-RSA-AES128-GCM-SHA256", "is no cipher suite of TLS 1.3"},
		{tls_check_ciphersuites, ":", "names no cipher suite"},
		{tls_check_groups, "X25519:P-521", NULL},
		{tls_check_groups, "X25519:P-1", "'P-1' is no group"},
		{tls_check_groups, "", "names no group"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char why[TLS_WHY_LEN] = "";
		int err = table[i].check(table[i].list, why);

		if (err != (table[i].says ? -EINVAL : 0) || (table[i].says && !strstr(why, table[i].says)))
			fail_msg("%s: %d %s", table[i].list, err, why);
		assert_int_equal(ERR_peek_error(), 0);
	}
}

static void the_lists_hold(void **state)
{
	struct tls_server_params params = {
		.cert_file = path("good.crt"),
		.key_file = path("good.key"),
		.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384",
		.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256",
		.groups = "P-384",
	};
	static const char *const wants[] = {"ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_CHACHA20_POLY1305_SHA256"};
	struct tls_ctx *client = client_ctx("good.crt", NULL), *server;
	char why[TLS_WHY_LEN];

	assert_int_equal(tls_ctx_server(&server, &params, why), 0);
	for (size_t v = 0; v < 2; v++) {
		struct tls_info info;
		struct link link;

		link_open(&link, client, server, "localhost");
		cap_version(&link, versions[v]);
		shake_ok(&link);
		tls_info(link.tls[CLIENT], &info);
		assert_string_equal(info.cipher, wants[v]);
		assert_int_equal(SSL_get_negotiated_group(link.tls[CLIENT]->ssl), NID_secp384r1);
		link_close(&link);
	}
	tls_ctx_put(server);
	params.groups = "P-384:none";
	assert_int_equal(tls_ctx_server(&server, &params, why), -EINVAL);
	assert_non_null(strstr(why, "'none' is no group"));
	tls_ctx_put(client);
}

/* The client's data, which a server that accepts 0-RTT would get before its handshake is done. */
static void send_early(struct link *link)
{
	unsigned char out[4096];
	struct tls_io io = {.out = out, .out_cap = sizeof(out)};
	struct tls *tls = link->tls[CLIENT];
	size_t n;

	tls->io = &io;
	assert_int_equal(SSL_write_early_data(tls->ssl, "early", 5, &n), 1);
	wire_push(&link->to[SERVER], out, io.out_len);
}

static void early_data_is_refused(void **state)
{
	struct tls_ctx *client = client_ctx("good.crt", NULL), *server = server_ctx("good", NULL);
	unsigned char plain[16];
	struct tls_ticket *ticket;
	struct tls_info info;
	struct link link;
	size_t n;

	link_open(&link, client, server, "localhost");
	shake_ok(&link);
	assert_int_equal(call(&link, CLIENT, OP_READ, plain, 16, &n), STEP_MORE);
	assert_int_equal(SSL_SESSION_get_max_early_data(link.tls[CLIENT]->newest), 0);
	SSL_SESSION_set_max_early_data(link.tls[CLIENT]->newest, 1000); /* a client that does not ask */
	ticket = tls_ticket_get(link.tls[CLIENT]);
	link_close(&link);

	link_open(&link, client, server, "localhost");
	assert_int_equal(tls_resume(link.tls[CLIENT], ticket), 0);
	send_early(&link);
	shake_ok(&link);
	assert_int_equal(SSL_get_early_data_status(link.tls[SERVER]->ssl), SSL_EARLY_DATA_REJECTED);
	tls_info(link.tls[SERVER], &info);
	assert_true(info.resumed);
	assert_int_equal(call(&link, SERVER, OP_READ, plain, 16, &n), STEP_MORE);
	assert_int_equal(call(&link, CLIENT, OP_WRITE, "later", 5, &n), STEP_DONE);
	assert_int_equal(call(&link, SERVER, OP_READ, plain, 16, &n), STEP_DONE);
	assert_int_equal(n, 5);
	assert_memory_equal(plain, "later", 5);
	link_close(&link);
	tls_ticket_free(ticket);
	tls_ctx_put(client);
	tls_ctx_put(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_has_to_be_known),
		cmocka_unit_test(the_lists_hold),
		cmocka_unit_test(early_data_is_refused),
	};

	return cmocka_run_group_tests(tests, make_material, remove_material);
}
