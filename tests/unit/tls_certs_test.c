/* SPDX-License-Identifier: MIT */
/* A directory of certificates: which one a client gets, and what becomes of a bad one. */
#include "tls/tls_stamp.h"
#include "tls_material.h"

#include <errno.h>

struct said {
	char lines[8][512];
	unsigned int nbad, nlines;
};

static void say(void *arg, bool is_bad, const char *line)
{
	struct said *said = arg;

	assert_true(said->nlines < 8);
	snprintf(said->lines[said->nlines++], sizeof(said->lines[0]), "%s", line);
	said->nbad += is_bad;
}

static struct tls_certs *load(const char *name, const struct tls_certs *from, struct said *said)
{
	struct tls_certs *certs;
	char why[TLS_WHY_LEN];

	*said = (struct said){0};
	if (tls_certs_load(&certs, path(name), from, say, said, why))
		fail_msg("%s", why);
	assert_int_equal(ERR_peek_error(), 0);
	return certs;
}

static struct tls_ctx *ctx_of(struct tls_certs *certs, const char *cert_file)
{
	struct tls_server_params params = {
		.cert_file = cert_file ? path_of(cert_file, ".crt") : NULL,
		.key_file = cert_file ? path_of(cert_file, ".key") : NULL,
		.certs = certs,
	};
	char why[TLS_WHY_LEN];
	struct tls_ctx *ctx;

	if (tls_ctx_server(&ctx, &params, why))
		fail_msg("%s", why);
	return ctx;
}

/* The common name of the certificate that a client gets. */
static const char *served(struct tls_ctx *server, const char *host, int version, const char *sigalgs)
{
	static char cn[64];
	struct tls_ctx *client = client_ctx(NULL, NULL);
	struct link link;
	X509 *cert;

	link_open(&link, client, server, host);
	tls_ctx_put(client);
	cap_version(&link, version);
	if (sigalgs)
		assert_int_equal(SSL_set1_sigalgs_list(link.tls[CLIENT]->ssl, sigalgs), 1);
	shake_ok(&link);
	cert = SSL_get0_peer_certificate(link.tls[CLIENT]->ssl);
	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn));
	link_close(&link);
	return cn;
}

static void each_name_gets_its_certificate(void **state)
{
	static const struct {
		const char *host, *sigalgs, *want;
	} table[] = {
		{"one.example", NULL, "one"},
		{"ONE.Example", NULL, "one"},
		{"one.example.", NULL, "one"},
		{"two.example", NULL, "two"},
		{"exact.wild.example", NULL, "exact"},
		{"other.wild.example", NULL, "wild"},
		{"a.b.wild.example", NULL, "a-default"},
		{"wild.example", NULL, "a-default"},
		{"nobody.example", NULL, "a-default"},
		{"127.0.0.1", NULL, "a-default"},
		{"by-common-name.example", NULL, "by-common-name.example"},
		{"not-the-common-name", NULL, "a-default"},
		/* ECDSA, and RSA for who cannot. */
		{"both.example", NULL, "both-ec"},
		{"both.example", "RSA-PSS+SHA256:RSA+SHA256", "both-rsa"},
		{"both.example", "RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256", "both-ec"},
		{"ed.example", NULL, "ed"},
		/* Of two with keys of one type the one that is valid longer. */
		{"renewed.example", NULL, "newer"},
	};
	struct said said;
	struct tls_certs *certs = load("certs", NULL, &said);
	struct tls_ctx *ctx = ctx_of(certs, NULL), *with_default = ctx_of(certs, "good");

	assert_int_equal(said.nlines, 0);
	tls_certs_put(certs);
	for (size_t v = 0; v < 2; v++)
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
			const char *got = served(ctx, table[i].host, versions[v], table[i].sigalgs);
			bool is_default = !strcmp(table[i].want, "a-default");

			if (strcmp(got, table[i].want))
				fail_msg("%s: %s instead of %s", table[i].host, got, table[i].want);
			got = served(with_default, table[i].host, versions[v], table[i].sigalgs);
			assert_string_equal(got, is_default ? "taio.example" : table[i].want);
		}
	tls_ctx_put(ctx);
	tls_ctx_put(with_default);
}

static void sessions_stay_with_their_name(void **state)
{
	static const struct {
		const char *first, *second;
		bool resumes;
	} table[] = {
		{"one.example", "one.example", true},
		{"one.example", "two.example", false},
		{"one.example", "nobody.example", false},
		{"nobody.example", "one.example", false},
		{"nobody.example", "unknown.example", true},
		{"x.wild.example", "y.wild.example", true},
		{"x.wild.example", "exact.wild.example", false},
	};
	struct said said;
	struct tls_certs *certs = load("certs", NULL, &said);
	struct tls_ctx *server = ctx_of(certs, NULL), *client = client_ctx(NULL, NULL);

	tls_certs_put(certs);
	for (size_t i = 0; i < 2 * sizeof(table) / sizeof(table[0]); i++) {
		unsigned char plain[16];
		struct tls_ticket *ticket;
		struct tls_info info;
		struct link link;
		size_t n;

		link_open(&link, client, server, table[i / 2].first);
		cap_version(&link, versions[i % 2]);
		shake_ok(&link);
		assert_int_equal(call(&link, CLIENT, OP_READ, plain, 16, &n), STEP_MORE);
		ticket = tls_ticket_get(link.tls[CLIENT]);
		assert_non_null(ticket);
		link_close(&link);
		link_open(&link, client, server, table[i / 2].second);
		cap_version(&link, versions[i % 2]);
		assert_int_equal(tls_resume(link.tls[CLIENT], ticket), 0);
		shake_ok(&link);
		tls_info(link.tls[SERVER], &info);
		if (info.resumed != table[i / 2].resumes)
			fail_msg("%s, then %s", table[i / 2].first, table[i / 2].second);
		tls_ticket_free(ticket);
		link_close(&link);
	}
	tls_ctx_put(server);
	tls_ctx_put(client);
}

static void a_bad_file_keeps_what_it_had(void **state)
{
	struct said said;
	struct tls_certs *first, *second, *third;
	struct tls_ctx *ctx;

	mkdir(path("turn"), 0700);
	make_files("turn/a", &(struct spec){.cn = "a1", .names = "DNS:a"});
	make_files("turn/b", &(struct spec){.cn = "b1", .names = "DNS:b"});
	make_files("turn/c", &(struct spec){.cn = "c1", .names = "DNS:c"});
	first = load("turn", NULL, &said);
	assert_int_equal(said.nlines, 0);

	/* One is bad, one is new, one is gone, one was never good. */
	save_text(path("turn/a.crt"), "nothing\n");
	make_files("turn/b", &(struct spec){.cn = "b2", .names = "DNS:b"});
	unlink(path("turn/c.crt"));
	make_files("turn/d", &(struct spec){.names = "DNS:d"});
	unlink(path("turn/d.key"));
	second = load("turn", first, &said);
	assert_int_equal(said.nbad, 2);
	assert_non_null(strstr(said.lines[0], "turn/a.crt: holds no valid certificate"));
	assert_non_null(strstr(said.lines[0], "loaded before stays"));
	assert_non_null(strstr(said.lines[1], "turn/d.crt: holds no valid private key"));
	assert_null(strstr(said.lines[1], "loaded before"));
	tls_certs_put(first);
	ctx = ctx_of(second, NULL);
	assert_string_equal(served(ctx, "a", TLS1_3_VERSION, NULL), "a1");
	assert_string_equal(served(ctx, "b", TLS1_3_VERSION, NULL), "b2");
	assert_string_equal(served(ctx, "c", TLS1_3_VERSION, NULL), "a1");
	assert_string_equal(served(ctx, "d", TLS1_3_VERSION, NULL), "a1");
	tls_ctx_put(ctx);

	/* The old one is kept over any number of loads, and goes when its file does or is good again. */
	third = load("turn", second, &said);
	assert_int_equal(said.nbad, 2);
	tls_certs_put(second);
	ctx = ctx_of(third, NULL);
	assert_string_equal(served(ctx, "a", TLS1_2_VERSION, NULL), "a1");
	tls_ctx_put(ctx);
	make_files("turn/a", &(struct spec){.cn = "a2", .names = "DNS:a"});
	second = load("turn", third, &said);
	assert_int_equal(said.nbad, 1);
	ctx = ctx_of(second, NULL);
	assert_string_equal(served(ctx, "a", TLS1_2_VERSION, NULL), "a2");
	tls_ctx_put(ctx);
	tls_certs_put(second);
	tls_certs_put(third);
}

static void what_is_bad_is_named(void **state)
{
	static const struct {
		const char *name, *want;
		bool is_bad;
	} table[] = {
		{"0-fifo.pem", "not a regular file", true},
		{"1-mismatch.crt", "1-mismatch.key does not match certificate", true},
		{"2-weak.pem", "2-weak.pem: not a valid certificate: ee key too small", true},
		{"3-expired.crt", "has expired on", false},
		{"4-dangling.pem", "No such file", true},
		{"5-dir.pem", "not a regular file", true},
	};
	struct made weak = make_cert(&(struct spec){.type = "RSA", .rsa_bits = 512});
	struct tls_certs *certs;
	struct said said;

	mkdir(path("bad"), 0700);
	assert_int_equal(mkfifo(path("bad/0-fifo.pem"), 0600), 0);
	make_files("bad/1-mismatch", &(struct spec){0});
	unlink(path("bad/1-mismatch.key"));
	save_private(path("bad/1-mismatch.key"), weak.key);
	save_cert(path("bad/2-weak.pem"), weak.cert);
	save_private(path("bad/2-weak.pem"), weak.key);
	make_files("bad/3-expired", &(struct spec){.names = "DNS:e", .begins_s = -7200, .ends_s = -3600});
	assert_int_equal(symlink("/does/not/exist", path("bad/4-dangling.pem")), 0);
	mkdir(path("bad/5-dir.pem"), 0700);
	save_text(path("bad/.hidden.pem"), "");
	save_text(path("bad/README"), "");
	save_text(path("bad/x.pem.old"), "");
	certs = load("bad", NULL, &said);
	assert_int_equal(said.nlines, sizeof(table) / sizeof(table[0]));
	assert_int_equal(said.nbad, said.nlines - 1);
	for (unsigned int i = 0; i < said.nlines; i++)
		if (!strstr(said.lines[i], table[i].name) || !strstr(said.lines[i], table[i].want))
			fail_msg("%s", said.lines[i]);
	tls_certs_put(certs);
	made_free(&weak);
}

/* Only what was old enough when it was read, and is the same file, need not be read again. */
static void a_stamp_holds_for_an_old_file(void **state)
{
	struct tls_stamp old, again, young, none, other;
	FILE *f;

	tls_stamp_take(&old, "/proc/self/exe"); /* it was built before */
	old.is_fresh = false;
	tls_stamp_take(&again, "/proc/self/exe");
	assert_true(tls_stamp_holds(&old, &again));
	again.ctime.tv_nsec ^= 1;
	assert_false(tls_stamp_holds(&old, &again));
	save_text(path("young"), "a\n");
	tls_stamp_take(&young, path("young"));
	assert_true(young.is_fresh);
	assert_false(tls_stamp_holds(&young, &young));
	young.is_fresh = false;
	f = fopen(path("young"), "a");
	fputs("b\n", f);
	fclose(f);
	tls_stamp_take(&other, path("young"));
	assert_false(tls_stamp_holds(&young, &other));
	tls_stamp_take(&none, NULL);
	assert_true(tls_stamp_holds(&none, &none));
	assert_false(tls_stamp_holds(&none, &young));
	assert_false(tls_stamp_holds(&young, &none));
	tls_stamp_take(&other, path("absent"));
	assert_true(tls_stamp_holds(&none, &other));
}

static void a_directory_without_any_is_refused(void **state)
{
	struct tls_certs *certs;
	char why[TLS_WHY_LEN];

	assert_int_equal(tls_certs_load(&certs, path("absent"), NULL, NULL, NULL, why), -ENOENT);
	assert_non_null(strstr(why, "absent: No such file"));
	mkdir(path("empty"), 0700);
	assert_int_equal(tls_certs_load(&certs, path("empty"), NULL, NULL, NULL, why), -EINVAL);
	assert_non_null(strstr(why, "empty: holds no certificate"));
	save_text(path("empty/a.pem"), "nothing\n");
	assert_int_equal(tls_certs_load(&certs, path("empty"), NULL, NULL, NULL, why), -EINVAL);
	assert_non_null(strstr(why, "empty: no certificate can be used: "));
	assert_non_null(strstr(why, "empty/a.pem: holds no valid certificate"));
}

/* The key in the same file, in NAME.pem.key; a chain. */
static void make_forms(void)
{
	struct made ca = make_cert(&(struct spec){.cn = "ca", .is_ca = true});
	struct made two = make_cert(&(struct spec){.cn = "two", .names = "DNS:two.example", .ca = &ca});
	struct made one = make_cert(&(struct spec){.cn = "one", .names = "DNS:One.example,DNS:uno.example"});

	save_private(path("certs/one.pem"), one.key);
	save_cert(path("certs/one.pem"), one.cert);
	save_cert(path("certs/two.pem"), two.cert);
	save_cert(path("certs/two.pem"), ca.cert);
	save_private(path("certs/two.pem.key"), two.key);
	made_free(&one);
	made_free(&two);
	made_free(&ca);
}

static int make_certs(void **state)
{
	make_material(state);
	mkdir(path("certs"), 0700);
	make_forms();
	make_files("certs/a", &(struct spec){.cn = "a-default"});
	make_files("certs/exact", &(struct spec){.cn = "exact", .names = "DNS:exact.wild.example"});
	make_files("certs/wild", &(struct spec){.cn = "wild", .names = "DNS:*.wild.example"});
	make_files("certs/cn", &(struct spec){.cn = "by-common-name.example", .names = "IP:192.0.2.1"});
	make_files("certs/san", &(struct spec){.cn = "not-the-common-name", .names = "DNS:san.example"});
	make_files("certs/both-ec", &(struct spec){.cn = "both-ec", .names = "DNS:both.example"});
	make_files("certs/both-rsa",
		   &(struct spec){.cn = "both-rsa", .names = "DNS:both.example", .type = "RSA"});
	make_files("certs/ed", &(struct spec){.cn = "ed", .names = "DNS:ed.example", .type = "ED25519"});
	make_files("certs/r1", &(struct spec){.cn = "older", .names = "DNS:renewed.example", .ends_s = 7200});
	make_files("certs/r2", &(struct spec){.cn = "newer", .names = "DNS:renewed.example", .ends_s = 9000});
	make_files("certs/r3", &(struct spec){.cn = "oldest", .names = "DNS:renewed.example", .ends_s = 600});
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_gets_its_certificate),
		cmocka_unit_test(sessions_stay_with_their_name),
		cmocka_unit_test(a_bad_file_keeps_what_it_had),
		cmocka_unit_test(what_is_bad_is_named),
		cmocka_unit_test(a_stamp_holds_for_an_old_file),
		cmocka_unit_test(a_directory_without_any_is_refused),
	};

	return cmocka_run_group_tests(tests, make_certs, remove_material);
}
