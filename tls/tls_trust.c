/* SPDX-License-Identifier: MIT */
/*
 * Certificates of clients: who must have signed them, what has been revoked. Files are read on the main
 * thread; verification runs inside handshakes, on any.
 */
#include "tls_trust.h"

#include "tls_error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

void tls_trust_common_name(X509 *cert, char *text, size_t size)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), len = -1;
	unsigned char *utf8 = NULL;

	*text = '\0';
	if (at >= 0)
		len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (len > 0 && strlen((char *)utf8) == (size_t)len)
		snprintf(text, size, "%s", (char *)utf8);
	OPENSSL_free(utf8);
	ERR_clear_error();
}

void tls_trust_name(X509 *cert, char *text, size_t size)
{
	BIO *bio;
	int len;

	tls_trust_common_name(cert, text, size);
	if (*text || !(bio = BIO_new(BIO_s_mem())))
		return;
	X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	len = BIO_read(bio, text, (int)size - 1);
	text[len > 0 ? len : 0] = '\0';
	BIO_free(bio);
	ERR_clear_error();
}

/* Remembers whom it was that is refused: OpenSSL does not keep the certificate. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *tls = BIO_get_data(SSL_get_rbio(ssl));
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	char name[TLS_CLIENT_NAME_LEN];

	if (ok || !cert)
		return ok;
	tls_trust_name(cert, name, sizeof(name));
	free(tls->refused);
	tls->refused = strdup(name);
	return ok;
}

static STACK_OF(X509_INFO) * read_file(const char *file, const char *wanted, char *why, int *err)
{
	BIO *bio = BIO_new_file(file, "r");
	STACK_OF(X509_INFO) *infos = bio ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	*err = infos ? 0 : tls_why_file(why, file, wanted);
	return infos;
}

static void digest_add(EVP_MD_CTX *digest, const void *data, unsigned int len)
{
	if (digest)
		EVP_DigestUpdate(digest, data, len);
}

static bool trust_add(SSL_CTX *ctx, X509 *cert, EVP_MD_CTX *digest)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) != 1 ||
	    SSL_CTX_add_client_CA(ctx, cert) != 1 || X509_digest(cert, EVP_sha256(), md, &len) != 1)
		return false;
	digest_add(digest, md, len);
	return true;
}

static int trust(SSL_CTX *ctx, const char *file, EVP_MD_CTX *digest, char *why)
{
	int err, n = 0;
	STACK_OF(X509_INFO) *infos = read_file(file, "certificate", why, &err);

	for (int i = 0; i < sk_X509_INFO_num(infos) && !err; i++) {
		X509 *cert = sk_X509_INFO_value(infos, i)->x509;

		if (cert && !trust_add(ctx, cert, digest))
			err = tls_why_file(why, file, "certificate");
		n += !!cert;
	}
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	if (!err && !n)
		err = tls_why(why, -EINVAL, "%s: holds no valid certificate in PEM format", file);
	return err;
}

static bool list_add(SSL_CTX *ctx, X509_CRL *crl, EVP_MD_CTX *digest)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (X509_STORE_add_crl(SSL_CTX_get_cert_store(ctx), crl) != 1 ||
	    X509_CRL_digest(crl, EVP_sha256(), md, &len) != 1)
		return false;
	digest_add(digest, md, len);
	return true;
}

/* OpenSSL takes nobody by a list that has expired. */
static void warn_expired(const X509_CRL *crl, const char *file, char *why)
{
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);

	if (next && X509_cmp_current_time(next) < 0)
		tls_why(why, 0, "%s: warning: the revocation list has expired: every client is refused",
			file);
}

static int revoke(SSL_CTX *ctx, const char *file, EVP_MD_CTX *digest, char *why)
{
	int err, n = 0;
	STACK_OF(X509_INFO) *infos = read_file(file, "revocation list", why, &err);

	for (int i = 0; i < sk_X509_INFO_num(infos) && !err; i++) {
		X509_CRL *crl = sk_X509_INFO_value(infos, i)->crl;

		if (crl && !list_add(ctx, crl, digest))
			err = tls_why_file(why, file, "revocation list");
		if (crl && !err)
			warn_expired(crl, file, why);
		n += !!crl;
	}
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	if (!err && !n)
		err = tls_why(why, -EINVAL, "%s: holds no revocation list in PEM format", file);
	if (!err)
		X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx),
				     X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return err;
}

int tls_trust_clients(SSL_CTX *ctx, const struct tls_server_params *params, EVP_MD_CTX *digest, char *why)
{
	int err;

	if (!params->client_ca)
		return 0;
	err = trust(ctx, params->client_ca, digest, why);
	if (!err && params->client_crl)
		err = revoke(ctx, params->client_crl, digest, why);
	if (err)
		return err;
	digest_add(digest, params->client_optional ? "o" : "r", 1);
	SSL_CTX_set_verify(ctx,
			   params->client_optional ? SSL_VERIFY_PEER
						   : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   on_verify);
	return 0;
}

int tls_check_clients(const char *ca_file, const char *crl_file, char *why)
{
	const struct tls_server_params params = {.client_ca = ca_file, .client_crl = crl_file};
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int err;

	if (!ctx)
		return tls_why(why, -ENOMEM, "out of memory");
	tls_why(why, 0, "%s", "");
	err = tls_trust_clients(ctx, &params, NULL, why);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return err;
}
