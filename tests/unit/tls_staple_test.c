/* SPDX-License-Identifier: MIT */
/* OCSP staples: which is sent, which is refused in which words, and what of the one before. */
#include "tls_material.h"

#include <openssl/ocsp.h>

static struct made ca, one, other;

/* A response about @cert that is valid in these seconds from now; @ends_s 0: it does not say until when. */
static void make_staple(const char *file, X509 *cert, int status, long begins_s, long ends_s)
{
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), cert, ca.cert);
	ASN1_TIME *begins = X509_gmtime_adj(NULL, begins_s),
		  *ends = ends_s ? X509_gmtime_adj(NULL, ends_s) : NULL;
	OCSP_RESPONSE *response;
	BIO *bio = BIO_new_file(file, "w");

	assert_non_null(OCSP_basic_add1_status(basic, id, status, 0, begins, begins, ends));
	assert_int_equal(OCSP_basic_sign(basic, ca.cert, ca.key, EVP_sha256(), NULL, 0), 1);
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	assert_int_equal(i2d_OCSP_RESPONSE_bio(bio, response), 1);
	BIO_free(bio);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(begins);
	ASN1_TIME_free(ends);
}

static void make_error(const char *file)
{
	OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_TRYLATER, NULL);
	BIO *bio = BIO_new_file(file, "w");

	assert_int_equal(i2d_OCSP_RESPONSE_bio(bio, response), 1);
	BIO_free(bio);
	OCSP_RESPONSE_free(response);
}

/* How many sessions have said that the staple has expired, and that it is path("one.crt.ocsp"). */
static unsigned int nmissed;

/* The length of what a client gets that asks; 0: nothing. */
static long stapled(struct tls_ctx *server, int version)
{
	const char *missed;
	struct tls_ctx *client = client_ctx(NULL, NULL);
	const unsigned char *der;
	struct link link;
	long len;

	link_open(&link, client, server, "one.example");
	tls_ctx_put(client);
	cap_version(&link, version);
	SSL_set_tlsext_status_type(link.tls[CLIENT]->ssl, TLSEXT_STATUSTYPE_ocsp);
	shake_ok(&link);
	len = SSL_get_tlsext_status_ocsp_resp(link.tls[CLIENT]->ssl, &der);
	missed = tls_missed_staple(link.tls[SERVER]);
	if (missed)
		assert_string_equal(missed, path("one.crt.ocsp"));
	nmissed += missed != NULL;
	link_close(&link);
	return len > 0 ? len : 0;
}

static struct tls_ctx *server_one(char *why)
{
	struct tls_server_params params = {.cert_file = path("one.crt"), .key_file = path("one.key")};
	struct tls_ctx *ctx;

	if (tls_ctx_server(&ctx, &params, why))
		fail_msg("%s", why);
	assert_int_equal(ERR_peek_error(), 0);
	return ctx;
}

static void what_is_sent(void **state)
{
	static const struct {
		const struct made *of;
		int status;
		long begins_s, ends_s;
		const char *says; /* "" or a warning */
		bool is_sent;
	} table[] = {
		{&one, V_OCSP_CERTSTATUS_GOOD, -60, 3600, "", true},
		{&one, V_OCSP_CERTSTATUS_GOOD, -60, 0, "", true},
		{&one, V_OCSP_CERTSTATUS_GOOD, 60, 3600, "", true},
		{&one, V_OCSP_CERTSTATUS_UNKNOWN, -60, 3600,
		 "one.ocsp: warning: the OCSP response says that the certificate's status is unknown", true},
		{&one, V_OCSP_CERTSTATUS_GOOD, -7200, -60, "one.ocsp: the OCSP response has expired on 2",
		 false},
		{&one, V_OCSP_CERTSTATUS_GOOD, 3600, 7200, "one.ocsp: the OCSP response is not valid yet",
		 false},
		{&other, V_OCSP_CERTSTATUS_GOOD, -60, 3600,
		 "one.ocsp: the OCSP response is for another certificate", false},
	};
	char why[TLS_WHY_LEN];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tls_ctx *server;

		make_staple(path("one.ocsp"), table[i].of->cert, table[i].status, table[i].begins_s,
			    table[i].ends_s);
		server = server_one(why);
		if (!strstr(why, table[i].says) || (!table[i].says[0] && why[0]))
			fail_msg("row %zu: %s", i, why);
		for (size_t v = 0; v < 2; v++)
			assert_int_equal(stapled(server, versions[v]) > 0, table[i].is_sent);
		tls_ctx_put(server);
	}
	unlink(path("one.ocsp"));
}

static void what_is_none(void **state)
{
	char why[TLS_WHY_LEN];
	struct tls_ctx *server;

	for (int i = 0; i < 3; i++) {
		static const char *const says[] = {"not an OCSP response", "not an OCSP response",
						   "the OCSP response is an error: trylater"};

		save_text(path("one.ocsp"), i ? "nothing\n" : "");
		if (i == 2)
			make_error(path("one.ocsp"));
		server = server_one(why);
		if (!strstr(why, says[i]))
			fail_msg("%s", why);
		assert_int_equal(stapled(server, TLS1_3_VERSION), 0);
		tls_ctx_put(server);
	}
	unlink(path("one.ocsp"));
}

static void it_may_expire_while_it_is_served(void **state)
{
	char why[TLS_WHY_LEN];
	struct tls_ctx *server;

	make_staple(path("one.crt.ocsp"), one.cert, V_OCSP_CERTSTATUS_GOOD, -60, 1);
	server = server_one(why);
	for (unsigned int i = 0; stapled(server, TLS1_3_VERSION); i++) {
		assert_int_equal(nmissed, 0);
		assert_true(i < 5000);
		usleep(1000);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(stapled(server, TLS1_2_VERSION), 0);
	assert_int_equal(nmissed, 1);
	tls_ctx_put(server);
	unlink(path("one.crt.ocsp"));
}

struct said {
	char line[512];
	unsigned int n;
};

static void say(void *arg, bool is_bad, const char *line)
{
	struct said *said = arg;

	assert_false(is_bad);
	said->n++;
	snprintf(said->line, sizeof(said->line), "%s", line);
}

/* Loads the directory; the length of the staple that its first certificate is sent with. */
static long load(struct tls_certs **certs, struct said *said)
{
	struct tls_server_params params = {0};
	struct tls_certs *from = *certs;
	char why[TLS_WHY_LEN];
	struct tls_ctx *server;
	long len;

	said->n = 0;
	if (tls_certs_load(certs, path("certs"), from, say, said, why))
		fail_msg("%s", why);
	tls_certs_put(from);
	params.certs = *certs;
	assert_int_equal(tls_ctx_server(&server, &params, why), 0);
	len = stapled(server, TLS1_3_VERSION);
	tls_ctx_put(server);
	return len;
}

static void a_bad_one_keeps_the_one_before(void **state)
{
	struct tls_certs *certs = NULL;
	struct said said;

	make_staple(path("certs/one.ocsp"), one.cert, V_OCSP_CERTSTATUS_GOOD, -60, 3600);
	assert_true(load(&certs, &said) > 0);
	assert_int_equal(said.n, 0);
	for (int i = 0; i < 2; i++) {
		save_text(path("certs/one.ocsp"), "nothing\n");
		assert_true(load(&certs, &said) > 0);
		assert_int_equal(said.n, 1);
		assert_non_null(strstr(
			said.line,
			"one.ocsp: not an OCSP response in DER format; the one that was loaded before"));
	}
	/* It goes with its file, and with its certificate. */
	unlink(path("certs/one.ocsp"));
	assert_int_equal(load(&certs, &said), 0);
	assert_int_equal(said.n, 0);
	make_staple(path("certs/one.ocsp"), one.cert, V_OCSP_CERTSTATUS_GOOD, -60, 3600);
	assert_true(load(&certs, &said) > 0);
	make_files("certs/one", &(struct spec){.cn = "new", .names = "DNS:one.example", .ca = &ca});
	assert_int_equal(load(&certs, &said), 0);
	assert_non_null(strstr(said.line, "is for another certificate"));
	assert_null(strstr(said.line, "before"));
	tls_certs_put(certs);
}

static void save_one(const char *stem)
{
	save_cert(path_of(stem, ".crt"), one.cert);
	save_cert(path_of(stem, ".crt"), ca.cert);
	save_private(path_of(stem, ".key"), one.key);
}

static int make_authority(void **state)
{
	make_material(state);
	ca = make_cert(&(struct spec){.cn = "ca", .is_ca = true});
	one = make_cert(&(struct spec){.cn = "one", .names = "DNS:one.example", .ca = &ca});
	other = make_cert(&(struct spec){.cn = "other", .names = "DNS:one.example", .ca = &ca});
	mkdir(path("certs"), 0700);
	save_one("one");
	save_one("certs/one");
	return 0;
}

static int remove_authority(void **state)
{
	made_free(&ca);
	made_free(&one);
	made_free(&other);
	return remove_material(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(it_may_expire_while_it_is_served),
		cmocka_unit_test(a_bad_one_keeps_the_one_before),
	};

	return cmocka_run_group_tests(tests, make_authority, remove_authority);
}
