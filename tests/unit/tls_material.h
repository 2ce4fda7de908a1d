/* SPDX-License-Identifier: MIT */
/* Certificates of every kind for the tests of tls/, beside what tls_self_signed() makes. */
#ifndef TLS_MATERIAL_H
#define TLS_MATERIAL_H

#include "tls_link.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

struct made {
	X509 *cert;
	EVP_PKEY *key;
};

/* What a certificate is made of; 0 and NULL are the usual. */
struct spec {
	const char *cn;	       /* default: "test" */
	const char *names;     /* subjectAltName as in x509v3_config(5) */
	const char *type;      /* "EC" (default), "RSA", "ED25519" */
	size_t rsa_bits;       /* default: 2048 */
	const struct made *ca; /* default: it signs itself */
	bool is_ca;
	long begins_s, ends_s; /* from now; default: an hour ago, in a day */
};

static inline EVP_PKEY *make_key(const struct spec *spec)
{
	const char *type = spec->type ? spec->type : "EC";

	if (!strcmp(type, "EC"))
		return EVP_EC_gen("P-256");
	if (!strcmp(type, "RSA"))
		return EVP_RSA_gen(spec->rsa_bits ? spec->rsa_bits : 2048);
	return EVP_PKEY_Q_keygen(NULL, NULL, type);
}

static inline void add_ext(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(ext);
	assert_int_equal(X509_add_ext(cert, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static inline struct made make_cert(const struct spec *spec)
{
	static long serial = 1000;
	struct made made = {.cert = X509_new(), .key = make_key(spec)};
	const struct made *ca = spec->ca ? spec->ca : &made;
	X509_NAME *name = X509_get_subject_name(made.cert);
	const EVP_MD *md = EVP_PKEY_get_base_id(ca->key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();

	X509_set_version(made.cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial++);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
				   (const unsigned char *)(spec->cn ? spec->cn : "test"), -1, -1, 0);
	X509_set_issuer_name(made.cert, X509_get_subject_name(ca->cert));
	X509_gmtime_adj(X509_getm_notBefore(made.cert), spec->begins_s ? spec->begins_s : -3600);
	X509_gmtime_adj(X509_getm_notAfter(made.cert), spec->ends_s ? spec->ends_s : 86400);
	X509_set_pubkey(made.cert, made.key);
	if (spec->names)
		add_ext(made.cert, NID_subject_alt_name, spec->names);
	if (spec->is_ca)
		add_ext(made.cert, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(made.cert, ca->key, md) > 0);
	return made;
}

static inline void made_free(struct made *made)
{
	X509_free(made->cert);
	EVP_PKEY_free(made->key);
}

/* Appends to a file, which is made if need be. */
static inline void save_cert(const char *file, X509 *cert)
{
	FILE *f = fopen(file, "a");

	assert_int_equal(PEM_write_X509(f, cert), 1);
	fclose(f);
}

static inline void save_private(const char *file, EVP_PKEY *key)
{
	FILE *f = fopen(file, "a");

	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

static inline void save_text(const char *file, const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* path(), with the name put together. */
static inline const char *path_of(const char *stem, const char *suffix)
{
	char name[PATH_LEN];

	snprintf(name, sizeof(name), "%s%s", stem, suffix);
	return path(name);
}

/* Writes STEM.crt and STEM.key in the place of what is there. */
static inline void make_files(const char *stem, const struct spec *spec)
{
	struct made made = make_cert(spec);

	unlink(path_of(stem, ".crt"));
	unlink(path_of(stem, ".key"));
	save_cert(path_of(stem, ".crt"), made.cert);
	save_private(path_of(stem, ".key"), made.key);
	made_free(&made);
}

#endif
