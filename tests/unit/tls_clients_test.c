/* SPDX-License-Identifier: MIT */
/* Certificates of clients: who is served under which name, who is refused with which alert. */
#include "tls_material.h"

#include <errno.h>

static struct made ca, stranger;
static struct made alice, old, unknown, revoked, nameless;

static struct tls_server_params params_of(const char *crl, bool is_optional)
{
	return (struct tls_server_params){
		.cert_file = path("good.crt"),
		.key_file = path("good.key"),
		.client_ca = path("ca.crt"),
		.client_crl = crl ? path(crl) : NULL,
		.client_optional = is_optional,
		.cache_sessions = 16,
	};
}

static struct tls_ctx *server_of(const struct tls_server_params *params)
{
	char why[TLS_WHY_LEN];
	struct tls_ctx *ctx;

	if (tls_ctx_server(&ctx, params, why))
		fail_msg("%s", why);
	return ctx;
}

static void open_as(struct link *link, struct tls_ctx *client, struct tls_ctx *server, int version,
		    const struct made *who)
{
	SSL *ssl;

	link_open(link, client, server, "localhost");
	ssl = link->tls[CLIENT]->ssl;
	cap_version(link, version);
	if (!who)
		return;
	assert_int_equal(SSL_use_certificate(ssl, who->cert), 1);
	assert_int_equal(SSL_use_PrivateKey(ssl, who->key), 1);
}

/* In TLS 1.3 the client hears of it when it thinks that the handshake is over. */
static const char *client_hears(struct link *link, enum step res)
{
	unsigned char plain[16];
	size_t n;

	if (res == STEP_DONE)
		res = call(link, CLIENT, OP_READ, plain, sizeof(plain), &n);
	assert_int_equal(res, STEP_FAILED);
	return tls_error(link->tls[CLIENT]);
}

static void who_is_served_and_who_is_not(void **state)
{
	static const struct {
		const struct made *who;
		const char *crl, *name; /* name: served under it; NULL: refused */
		const char *error, *alert;
		bool is_optional;
	} table[] = {
		{&alice, NULL, "alice", NULL, NULL, false},
		{&alice, "crl.pem", "alice", NULL, NULL, true},
		{&nameless, NULL, "", NULL, NULL, false},
		{&revoked, NULL, "revoked", NULL, NULL, false},
		{&revoked, "crl.pem", NULL, "certificate revoked: that of \"revoked\"", "certificate revoked",
		 false},
		{&old, NULL, NULL, "certificate has expired: that of \"old\"", "certificate expired", false},
		{&old, NULL, NULL, "certificate has expired: that of \"old\"", "certificate expired", true},
		{&unknown, NULL, NULL, "unable to get local issuer certificate: that of \"unknown\"",
		 "unknown CA", false},
		{&alice, "oldcrl.pem", NULL, "CRL has expired: that of \"alice\"", "certificate expired",
		 false},
		{&alice, "strangecrl.pem", NULL, "unable to get certificate CRL: that of \"alice\"",
		 "unknown CA", false},
		{&nameless, "strangecrl.pem", NULL, "CRL: that of \"O=Nobody\\, Inc.\"", "unknown CA", false},
		{NULL, NULL, NULL, "the client sent no certificate, and one is required", "", false},
		{NULL, NULL, "", NULL, NULL, true},
	};
	struct tls_ctx *client = client_ctx("good.crt", NULL);

	for (size_t i = 0; i < 2 * sizeof(table) / sizeof(table[0]); i++) {
		const struct tls_server_params params = params_of(table[i / 2].crl, table[i / 2].is_optional);
		struct tls_ctx *server = server_of(&params);
		struct tls_info info;
		struct link link;
		enum step res[2];

		open_as(&link, client, server, versions[i % 2], table[i / 2].who);
		shake(&link, res);
		if (table[i / 2].name) {
			assert_int_equal(res[SERVER], STEP_DONE);
			tls_info(link.tls[SERVER], &info);
			assert_string_equal(info.client_name, table[i / 2].name);
			assert_int_equal(info.has_client_cert, table[i / 2].who != NULL);
			tls_info(link.tls[CLIENT], &info);
			assert_string_equal(info.client_name, "");
		} else {
			assert_int_equal(res[SERVER], STEP_FAILED);
			if (!strstr(tls_error(link.tls[SERVER]), table[i / 2].error))
				fail_msg("row %zu: %s", i / 2, tls_error(link.tls[SERVER]));
			if (!strstr(client_hears(&link, res[CLIENT]), table[i / 2].alert))
				fail_msg("row %zu: %s", i / 2, tls_error(link.tls[CLIENT]));
		}
		assert_int_equal(tls_is_untrusted(link.tls[SERVER]), !table[i / 2].name);
		link_close(&link);
		tls_ctx_put(server);
	}
	tls_ctx_put(client);
}

/* A session of a client that would be refused by now is not resumed: not that of one whom nobody has asked.
 */
static void a_session_is_bound_to_what_was_asked(void **state)
{
	static const struct {
		const char *ca, *crl;
		bool is_optional, resumes;
	} second[] = {
		{"ca.crt", NULL, false, true},	     {"ca.crt", NULL, true, false},
		{"ca.crt", "crl.pem", false, false}, {"both.crt", NULL, false, false},
		{NULL, NULL, false, false},
	};
	struct tls_ctx *client = client_ctx("good.crt", NULL);
	struct tls_ticket_keys *keys;

	assert_int_equal(tls_ticket_keys_random(&keys, NULL), 0);
	for (size_t i = 0; i < 2 * sizeof(second) / sizeof(second[0]); i++) {
		struct tls_server_params params = params_of(NULL, false);
		struct tls_ticket *ticket;
		struct tls_ctx *server;
		struct tls_info info;
		unsigned char plain[16];
		struct link link;
		size_t n;

		params.ticket_keys = keys;
		server = server_of(&params);
		open_as(&link, client, server, versions[i % 2], &alice);
		shake_ok(&link);
		assert_int_equal(call(&link, CLIENT, OP_READ, plain, 16, &n), STEP_MORE);
		ticket = tls_ticket_get(link.tls[CLIENT]);
		assert_non_null(ticket);
		link_close(&link);
		tls_ctx_put(server);

		params = params_of(second[i / 2].crl, second[i / 2].is_optional);
		params.client_ca = second[i / 2].ca ? path(second[i / 2].ca) : NULL;
		params.ticket_keys = keys;
		server = server_of(&params);
		open_as(&link, client, server, versions[i % 2], &alice);
		assert_int_equal(tls_resume(link.tls[CLIENT], ticket), 0);
		shake_ok(&link);
		tls_info(link.tls[SERVER], &info);
		assert_int_equal(info.resumed, second[i / 2].resumes);
		/* A resumed session still has its name. */
		assert_string_equal(info.client_name, second[i / 2].ca ? "alice" : "");
		link_close(&link);
		tls_ctx_put(server);
		tls_ticket_free(ticket);
	}
	tls_ticket_keys_put(keys);
	tls_ctx_put(client);
}

static void a_name_with_a_zero_is_none(void **state)
{
	static const char zero[] = "root\0.example";
	struct tls_server_params params = params_of(NULL, false);
	struct tls_ctx *client = client_ctx("good.crt", NULL), *server = server_of(&params);
	struct made made = make_cert(&(struct spec){.ca = &ca});
	X509_NAME *name = X509_NAME_new();
	struct tls_info info;
	struct link link;

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)zero, sizeof(zero) - 1,
				   -1, 0);
	X509_set_subject_name(made.cert, name);
	assert_true(X509_sign(made.cert, ca.key, EVP_sha256()) > 0);
	open_as(&link, client, server, TLS1_3_VERSION, &made);
	shake_ok(&link);
	tls_info(link.tls[SERVER], &info);
	assert_string_equal(info.client_name, "");
	assert_true(info.has_client_cert);
	link_close(&link);
	X509_NAME_free(name);
	made_free(&made);
	tls_ctx_put(server);
	tls_ctx_put(client);
}

static void the_files_of_a_client(void **state)
{
	const struct tls_server_params wants = params_of(NULL, false);
	struct tls_client_params params = {.ca_file = path("good.crt"), .cert_file = path("alice.pem")};
	struct tls_ctx *client, *server = server_of(&wants);
	char why[TLS_WHY_LEN];
	struct tls_info info;
	struct link link;

	assert_int_equal(tls_ctx_client(&client, &params, why), 0);
	link_open(&link, client, server, "localhost");
	shake_ok(&link);
	tls_info(link.tls[SERVER], &info);
	assert_string_equal(info.client_name, "alice");
	link_close(&link);
	tls_ctx_put(client);
	tls_ctx_put(server);
	params.key_file = path("good.key");
	assert_int_equal(tls_ctx_client(&client, &params, why), -EINVAL);
	assert_non_null(strstr(why, "good.key does not match certificate"));
	params.cert_file = path("absent");
	assert_int_equal(tls_ctx_client(&client, &params, why), -ENOENT);
	assert_non_null(strstr(why, "absent: No such file"));
}

static void bad_files_are_named(void **state)
{
	static const struct {
		const char *ca, *crl;
		int err;
		const char *want;
	} table[] = {
		{"ca.crt", "crl.pem", 0, ""},
		{"ca.crt", "oldcrl.pem", 0, "oldcrl.pem: warning: the revocation list has expired"},
		{"absent", NULL, -ENOENT, "absent: No such file"},
		{"text", NULL, -EINVAL, "text: holds no valid certificate"},
		{"crl.pem", NULL, -EINVAL, "crl.pem: holds no valid certificate"},
		{"broken.crt", NULL, -EINVAL, "broken.crt: "},
		{"ca.crt", "absent", -ENOENT, "absent: No such file"},
		{"ca.crt", "ca.crt", -EINVAL, "ca.crt: holds no revocation list"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tls_server_params params = params_of(table[i].crl, false);
		char why[TLS_WHY_LEN];
		struct tls_ctx *ctx;
		int err = tls_check_clients(path(table[i].ca), table[i].crl ? path(table[i].crl) : NULL, why);

		if (err != table[i].err || !strstr(why, table[i].want))
			fail_msg("row %zu: %d %s", i, err, why);
		params.client_ca = path(table[i].ca);
		assert_int_equal(tls_ctx_server(&ctx, &params, why), err);
		assert_non_null(strstr(why, table[i].want));
		assert_int_equal(ERR_peek_error(), 0);
		if (!err)
			tls_ctx_put(ctx);
	}
}

static void make_crl(const char *name, const struct made *issuer, X509 *gone, long next_s)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *last = ASN1_TIME_adj(NULL, time(NULL), 0, -7200),
		  *next = ASN1_TIME_adj(NULL, time(NULL), 0, next_s);
	FILE *f = fopen(path(name), "w");

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->cert));
	X509_CRL_set1_lastUpdate(crl, last);
	X509_CRL_set1_nextUpdate(crl, next);
	if (gone) {
		X509_REVOKED *entry = X509_REVOKED_new();

		X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(gone));
		X509_REVOKED_set_revocationDate(entry, last);
		assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
	}
	assert_true(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
	fclose(f);
	ASN1_TIME_free(last);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
}

static struct made make_nameless(void)
{
	struct made made = make_cert(&(struct spec){.ca = &ca});
	X509_NAME *name = X509_NAME_new();

	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Nobody, Inc.", -1, -1,
				   0);
	X509_set_subject_name(made.cert, name);
	X509_NAME_free(name);
	assert_true(X509_sign(made.cert, ca.key, EVP_sha256()) > 0);
	return made;
}

static int make_clients(void **state)
{
	make_material(state);
	ca = make_cert(&(struct spec){.cn = "ca", .is_ca = true});
	stranger = make_cert(&(struct spec){.cn = "stranger", .is_ca = true});
	alice = make_cert(&(struct spec){.cn = "alice", .ca = &ca});
	old = make_cert(&(struct spec){.cn = "old", .ca = &ca, .begins_s = -7200, .ends_s = -3600});
	revoked = make_cert(&(struct spec){.cn = "revoked", .ca = &ca});
	unknown = make_cert(&(struct spec){.cn = "unknown", .ca = &stranger});
	nameless = make_nameless();
	save_cert(path("ca.crt"), ca.cert);
	save_cert(path("alice.pem"), alice.cert);
	save_private(path("alice.pem"), alice.key);
	save_cert(path("both.crt"), ca.cert);
	save_cert(path("both.crt"), stranger.cert);
	make_crl("crl.pem", &ca, revoked.cert, 86400);
	make_crl("oldcrl.pem", &ca, revoked.cert, -3600);
	make_crl("strangecrl.pem", &stranger, NULL, 86400);
	save_text(path("text"), "nothing\n");
	save_text(path("broken.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	return 0;
}

static int remove_clients(void **state)
{
	struct made *all[] = {&ca, &stranger, &alice, &old, &unknown, &revoked, &nameless};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		made_free(all[i]);
	return remove_material(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_served_and_who_is_not),
		cmocka_unit_test(a_session_is_bound_to_what_was_asked),
		cmocka_unit_test(a_name_with_a_zero_is_none),
		cmocka_unit_test(the_files_of_a_client),
		cmocka_unit_test(bad_files_are_named),
	};

	return cmocka_run_group_tests(tests, make_clients, remove_clients);
}
