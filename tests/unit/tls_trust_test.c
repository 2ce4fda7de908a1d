/* SPDX-License-Identifier: MIT */
/* Contexts and key material: who is trusted, what is refused and in which words, ALPN, tickets, key log. */
#include "tls_link.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

static void write_text(const char *file, const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static char *read_text(const char *file, char *text, size_t cap)
{
	FILE *f = fopen(file, "r");

	assert_non_null(f);
	text[fread(text, 1, cap - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void the_client_takes_the_right_certificate_only(void **state)
{
	static const struct {
		const char *pair, *ca, *host, *want, *server_says;
	} table[] = {
		{"good", "good.crt", "localhost", NULL, NULL},
		{"good", "good.crt", "localhost.", NULL, NULL},
		{"good", "good.crt", "taio.example", NULL, NULL},
		{"good", "good.crt", "127.0.0.1", NULL, NULL},
		{"good", "good.crt", "::1", NULL, NULL},
		{"address", "address.crt", "192.0.2.7", NULL, NULL},
		{"good", "good.crt", "wrong.example", "it is not for host wrong.example", "bad certificate"},
		{"good", "good.crt", "127.0.0.2", "it is not for address 127.0.0.2", "bad certificate"},
		{"good", "other.crt", "localhost", "self-signed certificate", "unknown CA"},
		{"expired", "expired.crt", "localhost", "certificate has expired", "certificate expired"},
		{"expired", NULL, "wrong.example", NULL, NULL},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tls_ctx *client = client_ctx(table[i].ca, NULL),
			       *server = server_ctx(table[i].pair, NULL);
		enum step res[2];
		struct link link;

		link_open(&link, client, server, table[i].host);
		shake(&link, res);
		assert_int_equal(res[CLIENT], table[i].want ? STEP_FAILED : STEP_DONE);
		assert_int_equal(res[SERVER], table[i].want ? STEP_FAILED : STEP_DONE);
		if (table[i].want) {
			assert_non_null(strstr(tls_error(link.tls[CLIENT]), "certificate verify failed: "));
			assert_non_null(strstr(tls_error(link.tls[CLIENT]), table[i].want));
			assert_non_null(strstr(tls_error(link.tls[SERVER]), table[i].server_says));
		}
		link_close(&link);
		tls_ctx_put(client);
		tls_ctx_put(server);
	}
}

static void names_go_into_sni_and_addresses_do_not(void **state)
{
	static const struct {
		const char *host, *want;
	} table[] = {
		{"localhost", "localhost"}, {"taio.example.", "taio.example"},
		{"127.0.0.1", NULL},	    {"::1", NULL},
		{"::1%lo", NULL},
	};
	struct tls_ctx *client = client_ctx(NULL, NULL), *server = server_ctx("good", NULL);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tls_info info;
		struct link link;
		const char *name;

		link_open(&link, client, server, table[i].host);
		shake_ok(&link);
		tls_info(link.tls[SERVER], &info);
		assert_string_equal(info.server_name, table[i].want ? table[i].want : "");
		assert_false(info.has_client_cert);
		assert_string_equal(info.client_name, "");
		name = SSL_get_servername(link.tls[SERVER]->ssl, TLSEXT_NAMETYPE_host_name);
		if (table[i].want)
			assert_string_equal(name, table[i].want);
		else
			assert_null(name);
		link_close(&link);
	}
	assert_null(tls_connect(client, ""));
	tls_ctx_put(client);
	tls_ctx_put(server);
}

static int any_cert(int ok, X509_STORE_CTX *store)
{
	return 1;
}

/* Not one that was only let pass. */
static void a_verified_client_has_its_name(void **state)
{
	static const struct {
		const char *ca;
		bool is_verified;
	} table[] = {{"good.crt", true}, {"other.crt", false}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tls_ctx *client = client_ctx("good.crt", NULL), *server = server_ctx("good", NULL);
		struct tls_info info;
		struct link link;

		SSL_CTX_set_verify(server->ssl_ctx, SSL_VERIFY_PEER, any_cert);
		assert_int_equal(SSL_CTX_set_purpose(server->ssl_ctx, X509_PURPOSE_ANY), 1);
		assert_int_equal(SSL_CTX_load_verify_file(server->ssl_ctx, path(table[i].ca)), 1);
		assert_int_equal(SSL_CTX_use_certificate_chain_file(client->ssl_ctx, path("good.crt")), 1);
		assert_int_equal(
			SSL_CTX_use_PrivateKey_file(client->ssl_ctx, path("good.key"), SSL_FILETYPE_PEM), 1);
		link_open(&link, client, server, "localhost");
		shake_ok(&link);
		tls_info(link.tls[SERVER], &info);
		assert_int_equal(info.has_client_cert, table[i].is_verified);
		assert_string_equal(info.client_name, table[i].is_verified ? "taio.example" : "");
		link_close(&link);
		tls_ctx_put(client);
		tls_ctx_put(server);
	}
}

static void alpn_takes_the_servers_choice_or_alerts(void **state)
{
	static const struct {
		const char *client, *server, *want; /* want NULL: refused */
	} table[] = {
		{"h2,http/1.1", "http/1.1", "http/1.1"},
		{"a,b,c", "c,b", "c"},
		{NULL, "http/1.1", ""},
		{"h2", NULL, ""},
		{"h2", "http/1.1", NULL},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tls_ctx *client = client_ctx("good.crt", table[i].client);
		struct tls_ctx *server = server_ctx("good", table[i].server);
		struct tls_info info[2];
		enum step res[2];
		struct link link;

		link_open(&link, client, server, "localhost");
		shake(&link, res);
		if (table[i].want) {
			assert_int_equal(res[CLIENT], STEP_DONE);
			tls_info(link.tls[CLIENT], &info[CLIENT]);
			tls_info(link.tls[SERVER], &info[SERVER]);
			assert_string_equal(info[CLIENT].alpn, table[i].want);
			assert_string_equal(info[SERVER].alpn, table[i].want);
		} else {
			assert_int_equal(res[SERVER], STEP_FAILED);
			assert_non_null(strstr(tls_error(link.tls[SERVER]), "ALPN"));
			assert_non_null(strstr(tls_error(link.tls[CLIENT]), "no application protocol"));
		}
		link_close(&link);
		tls_ctx_put(client);
		tls_ctx_put(server);
	}
}

static void a_ticket_resumes_in_its_own_context(void **state)
{
	struct tls_ctx *server = server_ctx("good", NULL);
	struct tls_ctx *client = client_ctx("good.crt", NULL), *stranger = client_ctx("good.crt", NULL);

	for (size_t v = 0; v < 2; v++) {
		struct tls_ticket *ticket = NULL, *next;
		unsigned char plain[16];
		struct tls_info info;
		struct link link;
		size_t n;

		for (unsigned int round = 0; round < 3; round++) {
			link_open(&link, client, server, "localhost");
			cap_version(&link, versions[v]);
			if (ticket)
				assert_int_equal(tls_resume(link.tls[CLIENT], ticket), 0);
			shake_ok(&link);
			assert_int_equal(call(&link, CLIENT, OP_READ, plain, 16, &n), STEP_MORE);
			tls_info(link.tls[SERVER], &info);
			assert_int_equal(info.resumed, round > 0);
			tls_info(link.tls[CLIENT], &info);
			assert_int_equal(info.resumed, round > 0);
			next = tls_ticket_get(link.tls[CLIENT]);
			assert_non_null(next);
			tls_ticket_free(ticket);
			ticket = next;
			link_close(&link);
		}
		link_open(&link, stranger, server, "localhost");
		assert_int_equal(tls_resume(link.tls[CLIENT], ticket), -EINVAL);
		shake_ok(&link);
		link_close(&link);
		tls_ticket_free(ticket);
	}
	tls_ctx_put(server);
	tls_ctx_put(client);
	tls_ctx_put(stranger);
}

static void the_minimum_version_is_kept(void **state)
{
	struct tls_server_params params = {.min_version = "1.3"};
	struct tls_ctx *client = client_ctx(NULL, NULL), *server;
	char why[TLS_WHY_LEN];
	enum step res[2];
	struct link link;

	params.cert_file = path("good.crt");
	params.key_file = path("good.key");
	assert_int_equal(tls_ctx_server(&server, &params, why), 0);
	link_open(&link, client, server, "localhost");
	cap_version(&link, TLS1_2_VERSION);
	shake(&link, res);
	assert_int_equal(res[SERVER], STEP_FAILED);
	assert_non_null(strstr(tls_error(link.tls[SERVER]), "protocol version"));
	assert_non_null(strstr(tls_error(link.tls[CLIENT]), "protocol version"));
	link_close(&link);
	tls_ctx_put(client);
	tls_ctx_put(server);
}

static void bad_material_is_refused_with_its_file_names(void **state)
{
	static const struct {
		const char *cert, *key, *min, *alpn;
		int err;
		const char *want, *and;
	} table[] = {
		{"good.crt", "other.key", NULL, NULL, -EINVAL, "other.key does not match", "good.crt"},
		{"good.crt", "rsa.key", NULL, NULL, -EINVAL, "rsa.key does not match", "good.crt"},
		{"absent.crt", "good.key", NULL, NULL, -ENOENT, "absent.crt: No such file", ""},
		{"good.crt", "absent.key", NULL, NULL, -ENOENT, "absent.key: No such file", ""},
		{"good.crt", NULL, NULL, NULL, -EINVAL, "good.crt: holds no valid private key", ""},
		{"good.key", "good.key", NULL, NULL, -EINVAL, "good.key: holds no valid certificate", ""},
		{"good.crt", "good.crt", NULL, NULL, -EINVAL, "good.crt: holds no valid private key", ""},
		{"text", "good.key", NULL, NULL, -EINVAL, "text: holds no valid certificate", "PEM"},
		{"broken.crt", "good.key", NULL, NULL, -EINVAL, "broken.crt: not a valid certificate: ", ""},
		{"good.crt", "secret.key", NULL, NULL, -EINVAL, "secret.key: the key is encrypted", ""},
		{".", "good.key", NULL, NULL, -EINVAL, "/.: holds no valid certificate", ""},
		{"good.crt", "good.key", "1.1", NULL, -EINVAL, "1.1: only 1.2 and 1.3", ""},
		{"good.crt", "good.key", NULL, "a,,b", -EINVAL, "\"a,,b\"", ""},
		{"both.pem", NULL, NULL, NULL, 0, "", ""},
		{"expired.crt", "expired.key", NULL, NULL, 0, "expired.crt: warning: ", "has expired on 2"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tls_server_params params = {
			.cert_file = path(table[i].cert),
			.key_file = table[i].key ? path(table[i].key) : NULL,
			.min_version = table[i].min,
			.alpn = table[i].alpn,
		};
		char why[TLS_WHY_LEN];
		struct tls_ctx *ctx = NULL;
		int err = tls_ctx_server(&ctx, &params, why);

		if (err != table[i].err || !strstr(why, table[i].want) || !strstr(why, table[i].and))
			fail_msg("row %zu: %d %s", i, err, why);
		if (!table[i].want[0])
			assert_string_equal(why, "");
		assert_int_equal(err == 0, ctx != NULL);
		tls_ctx_put(ctx);
		assert_int_equal(tls_ctx_server(&ctx, &params, NULL) == 0, err == 0);
		assert_int_equal(ERR_peek_error(), 0);
		if (!err)
			tls_ctx_put(ctx);
	}
}

static void bad_trust_is_refused_with_its_file_name(void **state)
{
	struct tls_client_params params = {.ca_file = path("absent.crt")};
	struct tls_ctx *ctx;
	char why[TLS_WHY_LEN];

	assert_int_equal(tls_ctx_client(&ctx, &params, why), -ENOENT);
	assert_non_null(strstr(why, "absent.crt: No such file"));
	params.ca_file = path("text");
	assert_int_equal(tls_ctx_client(&ctx, &params, why), -EINVAL);
	assert_non_null(strstr(why, "text: "));
}

static void the_key_log_gets_the_secrets_and_is_private(void **state)
{
	struct tls_client_params params = {.insecure = true, .keylog_file = path("keys.log")};
	struct tls_ctx *client, *server = server_ctx("good", NULL);
	char why[TLS_WHY_LEN], text[4096];
	struct link link;
	struct stat st;

	assert_int_equal(tls_ctx_client(&client, &params, why), 0);
	link_open(&link, client, server, "localhost");
	shake_ok(&link);
	read_text(path("keys.log"), text, sizeof(text));
	assert_non_null(strstr(text, "CLIENT_HANDSHAKE_TRAFFIC_SECRET "));
	assert_non_null(strstr(text, "\nSERVER_TRAFFIC_SECRET_0 "));
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_int_equal(stat(path("keys.log"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	link_close(&link);
	tls_ctx_put(client);
	tls_ctx_put(server);
	params.keylog_file = path("absent/keys.log");
	assert_int_equal(tls_ctx_client(&client, &params, why), -ENOENT);
	assert_non_null(strstr(why, "absent/keys.log"));
}

static unsigned int count_drafts(void)
{
	DIR *d = opendir(dir);
	unsigned int n = 0;

	for (struct dirent *e; (e = readdir(d));)
		n += strlen(e->d_name) > 11 && e->d_name[strlen(e->d_name) - 7] == '.';
	closedir(d);
	return n;
}

static void self_signed_replaces_nothing_and_leaves_no_drafts(void **state)
{
	char why[TLS_WHY_LEN];
	struct stat st;

	assert_int_equal(stat(path("good.key"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(tls_self_signed(path("good.crt"), path("new.key"), "localhost", 1, why), -EEXIST);
	assert_non_null(strstr(why, "good.crt"));
	assert_int_equal(access(path("new.key"), F_OK), -1);
	assert_int_equal(tls_self_signed(path("new.crt"), path("good.key"), "localhost", 1, why), -EEXIST);
	assert_non_null(strstr(why, "good.key"));
	assert_int_equal(access(path("new.crt"), F_OK), -1);
	assert_int_equal(tls_self_signed(path("new.crt"), path("absent/new.key"), "h", 1, why), -ENOENT);
	assert_non_null(strstr(why, "absent/new.key"));
	assert_int_equal(tls_self_signed(path("absent/new.crt"), path("new.key"), "h", 1, why), -ENOENT);
	assert_non_null(strstr(why, "absent/new.crt"));
	assert_int_equal(access(path("new.key"), F_OK), -1);
	assert_int_equal(tls_self_signed(path("same.pem"), path("same.pem"), "h", 1, why), -EEXIST);
	assert_int_equal(access(path("same.pem"), F_OK), -1);
	assert_int_equal(tls_self_signed(path("new.crt"), path("new.key"), "a b", 1, why), -EINVAL);
	assert_int_equal(tls_self_signed(path("new.crt"), path("new.key"), "", 1, why), -EINVAL);
	assert_int_equal(count_drafts(), 0);
}

static EVP_PKEY *load_key(const char *file)
{
	FILE *f = fopen(file, "r");
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);

	fclose(f);
	return key;
}

static void save_key(const char *file, EVP_PKEY *key, const char *passphrase)
{
	FILE *f = fopen(file, "w");

	assert_int_equal(PEM_write_PrivateKey(f, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
					      (void *)passphrase),
			 1);
	fclose(f);
}

/* The good certificate with another validity, for the same key. */
static void make_expired(void)
{
	EVP_PKEY *key = load_key(path("good.key"));
	FILE *f = fopen(path("good.crt"), "r");
	X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);

	fclose(f);
	X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
	X509_gmtime_adj(X509_getm_notAfter(cert), -3600);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	f = fopen(path("expired.crt"), "w");
	PEM_write_X509(f, cert);
	fclose(f);
	save_key(path("expired.key"), key, NULL);
	save_key(path("secret.key"), key, "secret");
	X509_free(cert);
	EVP_PKEY_free(key);
	key = EVP_RSA_gen(2048);
	save_key(path("rsa.key"), key, NULL);
	EVP_PKEY_free(key);
}

static int make_more_material(void **state)
{
	char text[8192], more[4096];

	make_material(state);
	make_pair("other", "localhost");
	make_pair("address", "192.0.2.7");
	make_expired();
	read_text(path("good.crt"), text, sizeof(text));
	strcat(text, read_text(path("good.key"), more, sizeof(more)));
	write_text(path("both.pem"), text);
	memcpy(strchr(text, '\n') + 20, "AAAA", 4);
	write_text(path("broken.crt"), text);
	write_text(path("text"), "neither key nor certificate\n");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_client_takes_the_right_certificate_only),
		cmocka_unit_test(names_go_into_sni_and_addresses_do_not),
		cmocka_unit_test(a_verified_client_has_its_name),
		cmocka_unit_test(alpn_takes_the_servers_choice_or_alerts),
		cmocka_unit_test(a_ticket_resumes_in_its_own_context),
		cmocka_unit_test(the_minimum_version_is_kept),
		cmocka_unit_test(bad_material_is_refused_with_its_file_names),
		cmocka_unit_test(bad_trust_is_refused_with_its_file_name),
		cmocka_unit_test(the_key_log_gets_the_secrets_and_is_private),
		cmocka_unit_test(self_signed_replaces_nothing_and_leaves_no_drafts),
	};

	return cmocka_run_group_tests(tests, make_more_material, remove_material);
}
