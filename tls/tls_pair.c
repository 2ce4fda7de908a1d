/* SPDX-License-Identifier: MIT */
/*
 * A certificate, its chain and its key, read from one file or two. Main thread, except for references and
 * tls_pair_use().
 *
 * Invariant: the key of a pair matches its certificate.
 */
#include "tls_pair.h"

#include "tls_error.h"
#include "tls_staple.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Its length without the last part of its name, if that is one of a certificate. */
static size_t stem_len(const char *file)
{
	size_t len = strlen(file);

	if (len > 4 && (!strcmp(file + len - 4, ".pem") || !strcmp(file + len - 4, ".crt")))
		return len - 4;
	return len;
}

int tls_pair_beside(const char *cert_file, const char *suffix, char **file)
{
	const size_t lens[] = {stem_len(cert_file), strlen(cert_file)};
	struct stat st;

	for (int i = 0; i < 2; i++) {
		if (asprintf(file, "%.*s%s", (int)lens[i], cert_file, suffix) < 0) {
			*file = NULL;
			return -ENOMEM;
		}
		if (!stat(*file, &st) && S_ISREG(st.st_mode))
			return 0;
		free(*file);
	}
	*file = NULL;
	return 0;
}

/* No file may ask for a passphrase on the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *asked)
{
	*(bool *)asked = true;
	return -1;
}

/* True if the file has ended, not in the middle of something. */
static bool is_end(void)
{
	unsigned long err = ERR_peek_last_error();

	return ERR_GET_LIB(err) == ERR_LIB_PEM && ERR_GET_REASON(err) == PEM_R_NO_START_LINE;
}

static bool read_chain(struct tls_pair *pair, BIO *bio, bool *asked)
{
	X509 *next;

	while ((next = PEM_read_bio_X509(bio, NULL, no_passphrase, asked)))
		if (!sk_X509_push(pair->chain, next)) {
			X509_free(next);
			ERR_raise(ERR_LIB_X509, ERR_R_MALLOC_FAILURE);
			return false;
		}
	return is_end();
}

static int load_certs(struct tls_pair *pair, const char *file, char *why)
{
	bool asked = false, done = false;
	BIO *bio = BIO_new_file(file, "r");

	pair->chain = sk_X509_new_null();
	if (bio && pair->chain)
		pair->cert = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, &asked);
	if (pair->cert)
		done = read_chain(pair, bio, &asked);
	BIO_free(bio);
	if (!done)
		return tls_why_file(why, file, "certificate");
	ERR_clear_error();
	return 0;
}

static int load_key(struct tls_pair *pair, const char *cert_file, const char *file, char *why)
{
	bool asked = false;
	BIO *bio = BIO_new_file(file, "r");

	if (bio)
		pair->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
	BIO_free(bio);
	if (asked)
		return tls_why(why, -EINVAL, "%s: the key is encrypted; remove the passphrase", file);
	if (!pair->key)
		return tls_why_file(why, file, "private key");
	if (X509_check_private_key(pair->cert, pair->key) != 1)
		return tls_why(why, -EINVAL, "key %s does not match certificate %s", file, cert_file);
	return 0;
}

/* Some clients accept an expired certificate; refusing it would only end the service for them, too. */
static void warn_dates(const struct tls_pair *pair, const char *file, char *why)
{
	const ASN1_TIME *end = X509_get0_notAfter(pair->cert), *begin = X509_get0_notBefore(pair->cert);
	const ASN1_TIME *date = NULL;
	char day[32] = "";
	struct tm tm;

	if (X509_cmp_current_time(end) < 0)
		date = end;
	else if (X509_cmp_current_time(begin) > 0)
		date = begin;
	if (!date)
		return;
	if (ASN1_TIME_to_tm(date, &tm))
		strftime(day, sizeof(day), "%F %T UTC", &tm);
	tls_why(why, 0, "%s: warning: the certificate %s %s", file,
		date == end ? "has expired on" : "is not valid before", day);
}

/* Adds to why, in which there may be a warning. Only a lack of memory is an error. */
static int load_staple(struct tls_pair *pair, const char *cert_file, char *why)
{
	char more[TLS_WHY_LEN] = "", was[TLS_WHY_LEN];
	char *file;
	int err = tls_pair_beside(cert_file, ".ocsp", &file);

	if (!err && file)
		err = tls_staple_load(pair->cert, file, more);
	free(file);
	if (err == -ENOMEM)
		return tls_why(why, err, "out of memory");
	pair->lacks_staple = err;
	if (!more[0] || !why)
		return 0;
	snprintf(was, sizeof(was), "%s", why);
	return tls_why(why, 0, "%s%s%s", was, was[0] ? "; " : "", more);
}

int tls_pair_load(struct tls_pair *pair, const char *cert_file, const char *key_file, char *why)
{
	int err;

	*pair = (struct tls_pair){0};
	tls_why(why, 0, "%s", "");
	err = load_certs(pair, cert_file, why);
	if (!err)
		err = load_key(pair, cert_file, key_file ? key_file : cert_file, why);
	if (!err) {
		warn_dates(pair, cert_file, why);
		err = load_staple(pair, cert_file, why);
	}
	if (err)
		tls_pair_fini(pair);
	return err;
}

bool tls_pair_is_suspect(const struct tls_pair *pair)
{
	return pair->lacks_staple || tls_staple_is_over(pair->cert) ||
	       X509_cmp_current_time(X509_get0_notAfter(pair->cert)) < 0 ||
	       X509_cmp_current_time(X509_get0_notBefore(pair->cert)) > 0;
}

int tls_pair_copy(struct tls_pair *pair, const struct tls_pair *from)
{
	*pair = (struct tls_pair){.chain = X509_chain_up_ref(from->chain)};
	if (!pair->chain)
		return -ENOMEM;
	X509_up_ref(from->cert);
	EVP_PKEY_up_ref(from->key);
	pair->cert = from->cert;
	pair->key = from->key;
	return 0;
}

void tls_pair_fini(struct tls_pair *pair)
{
	X509_free(pair->cert);
	sk_X509_pop_free(pair->chain, X509_free);
	EVP_PKEY_free(pair->key);
	*pair = (struct tls_pair){0};
}

int tls_pair_use_ctx(SSL_CTX *ctx, const struct tls_pair *pair, const char *cert_file, char *why)
{
	if (SSL_CTX_use_cert_and_key(ctx, pair->cert, pair->key, pair->chain, 1) != 1)
		return tls_why_file(why, cert_file, "certificate");
	return 0;
}

bool tls_pair_use(SSL *ssl, const struct tls_pair *pair)
{
	return SSL_use_cert_and_key(ssl, pair->cert, pair->key, pair->chain, 1) == 1;
}
