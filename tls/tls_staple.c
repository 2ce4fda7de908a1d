/* SPDX-License-Identifier: MIT */
/*
 * OCSP staples. Loaded on the main thread; sent by handshakes on any.
 *
 * Invariant: a staple belongs to its X509, is set before that is shared, and never changes, but for what
 * handshakes have noticed.
 */
#include "tls_staple.h"

#include "tls_error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Clocks differ: what begins a little later is valid. */
#define LEEWAY_S 300

#define STAPLE_MAX (64 << 10)

struct staple {
	time_t ends;	       /* 0: not said */
	atomic_flag is_missed; /* a handshake was the first to find that it is over */
	size_t len;
	unsigned char der[]; /* behind it the name of its file */
};

static int ex_index = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void on_free(void *parent, void *staple, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
	free(staple);
}

static void make_index(void)
{
	ex_index = X509_get_ex_new_index(0, NULL, NULL, NULL, on_free);
}

static struct staple *staple_of(const X509 *cert)
{
	return ex_index < 0 ? NULL : X509_get_ex_data(cert, ex_index);
}

static const char *file_of(const struct staple *staple)
{
	return (const char *)staple->der + staple->len;
}

static struct staple *staple_create(const unsigned char *der, size_t len, time_t ends, const char *file)
{
	struct staple *staple = malloc(sizeof(*staple) + len + strlen(file) + 1);

	if (!staple)
		return NULL;
	staple->ends = ends;
	atomic_flag_clear(&staple->is_missed);
	staple->len = len;
	memcpy(staple->der, der, len);
	strcpy((char *)staple->der + len, file);
	return staple;
}

static bool is_over(const struct staple *staple)
{
	return staple->ends && staple->ends < time(NULL);
}

/* On success @cert owns @staple. */
static int attach(X509 *cert, struct staple *staple)
{
	pthread_once(&once, make_index);
	return ex_index >= 0 && X509_set_ex_data(cert, ex_index, staple) == 1 ? 0 : -ENOMEM;
}

/* By serial number and issuer's name; its key is known only where the chain is at hand. */
static bool is_for(OCSP_SINGLERESP *single, X509 *cert)
{
	OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
	ASN1_OCTET_STRING *name;
	ASN1_INTEGER *serial;
	ASN1_OBJECT *hash;
	unsigned char md[EVP_MAX_MD_SIZE];
	const EVP_MD *type;
	unsigned int len;

	OCSP_id_get0_info(&name, &hash, NULL, &serial, id);
	type = EVP_get_digestbyobj(hash);
	return type && !ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(cert)) &&
	       X509_NAME_digest(X509_get_issuer_name(cert), type, md, &len) == 1 &&
	       ASN1_STRING_length(name) == (int)len && !memcmp(ASN1_STRING_get0_data(name), md, len);
}

static OCSP_SINGLERESP *find(OCSP_BASICRESP *basic, X509 *cert)
{
	for (int i = 0; i < OCSP_resp_count(basic); i++)
		if (is_for(OCSP_resp_get0(basic, i), cert))
			return OCSP_resp_get0(basic, i);
	return NULL;
}

static time_t seconds_of(const ASN1_TIME *at)
{
	struct tm tm;

	return at && ASN1_TIME_to_tm(at, &tm) == 1 ? timegm(&tm) : 0;
}

/* Whether what the authority says holds now; sets the end of it. */
static int check_single(OCSP_SINGLERESP *single, struct staple *staple, const char *file, char *why)
{
	ASN1_GENERALIZEDTIME *begins, *ends;
	int status = OCSP_single_get0_status(single, NULL, NULL, &begins, &ends);
	char day[32] = "";
	struct tm tm;

	staple->ends = seconds_of(ends);
	if (is_over(staple)) {
		gmtime_r(&staple->ends, &tm);
		strftime(day, sizeof(day), "%F %T UTC", &tm);
		return tls_why(why, -EINVAL, "%s: the OCSP response has expired on %s and is not sent", file,
			       day);
	}
	if (!begins || seconds_of(begins) > time(NULL) + LEEWAY_S)
		return tls_why(why, -EINVAL, "%s: the OCSP response is not valid yet", file);
	if (status != V_OCSP_CERTSTATUS_GOOD)
		tls_why(why, 0, "%s: warning: the OCSP response says that the certificate's status is %s",
			file, OCSP_cert_status_str(status));
	return 0;
}

static int check(struct staple *staple, X509 *cert, const char *file, char *why)
{
	const unsigned char *der = staple->der;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &der, (long)staple->len);
	OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;
	OCSP_SINGLERESP *single = basic ? find(basic, cert) : NULL;
	int err;

	if (!response)
		err = tls_why(why, -EINVAL, "%s: not an OCSP response in DER format", file);
	else if (!basic)
		err = tls_why(why, -EINVAL, "%s: the OCSP response is an error: %s", file,
			      OCSP_response_status_str(OCSP_response_status(response)));
	else if (!single)
		err = tls_why(why, -EINVAL, "%s: the OCSP response is for another certificate", file);
	else
		err = check_single(single, staple, file, why);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	return err;
}

static int read_staple(struct staple **staple, const char *file, char *why)
{
	BIO *bio = BIO_new_file(file, "rb");
	struct staple *made = bio ? malloc(sizeof(*made) + STAPLE_MAX) : NULL;
	int err = 0;

	if (!made)
		err = bio ? tls_why(why, -ENOMEM, "out of memory") : tls_why_file(why, file, "OCSP response");
	else if (BIO_read_ex(bio, made->der, STAPLE_MAX, &made->len) != 1 || made->len == STAPLE_MAX)
		err = tls_why(why, -EINVAL, "%s: not an OCSP response in DER format", file);
	BIO_free(bio);
	if (err)
		free(made);
	else
		*staple = made;
	return err;
}

int tls_staple_load(X509 *cert, const char *file, char *why)
{
	struct staple *read, *staple = NULL;
	int err = read_staple(&read, file, why);

	if (err)
		return err;
	err = check(read, cert, file, why);
	if (err)
		goto free_read;
	staple = staple_create(read->der, read->len, read->ends, file);
	err = staple ? attach(cert, staple) : -ENOMEM;
	if (err) {
		free(staple);
		tls_why(why, err, "out of memory");
	}
free_read:
	free(read);
	return err;
}

bool tls_staple_copy(X509 *cert, X509 *from)
{
	const struct staple *staple = staple_of(from);
	struct staple *copy;

	if (!staple || is_over(staple) || X509_cmp(cert, from))
		return false;
	copy = staple_create(staple->der, staple->len, staple->ends, file_of(staple));
	if (!copy)
		return false;
	if (!attach(cert, copy))
		return true;
	free(copy);
	return false;
}

bool tls_staple_is_over(const X509 *cert)
{
	const struct staple *staple = staple_of(cert);

	return staple && is_over(staple);
}

/* SSL_CTX_set_tlsext_status_cb(3): the certificate has been chosen by now. */
static int on_status(SSL *ssl, void *arg)
{
	X509 *cert = SSL_get_certificate(ssl);
	struct staple *staple = cert ? staple_of(cert) : NULL;
	struct tls *tls = BIO_get_data(SSL_get_rbio(ssl));
	unsigned char *der;

	if (!staple)
		return SSL_TLSEXT_ERR_NOACK;
	if (is_over(staple)) {
		if (!atomic_flag_test_and_set(&staple->is_missed))
			tls->missed_staple = file_of(staple);
		return SSL_TLSEXT_ERR_NOACK;
	}
	der = OPENSSL_memdup(staple->der, staple->len); /* the session frees it */
	if (!der)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, der, (long)staple->len);
	return SSL_TLSEXT_ERR_OK;
}

void tls_staple_use(SSL_CTX *ctx)
{
	SSL_CTX_set_tlsext_status_cb(ctx, on_status);
}
