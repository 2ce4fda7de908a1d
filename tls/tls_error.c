/* SPDX-License-Identifier: MIT */
/*
 * OpenSSL's error queue as one line that an operator can act on. Called by the other files of tls/ after a
 * failure, on the thread where it happened (the queue is per thread).
 *
 * Invariant: the queue is empty when a function here has returned.
 */
#include "tls_error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where OpenSSL's own words would mislead the reader. All of ERR_LIB_SSL. */
static const struct {
	int reason;
	const char *text;
} plain_words[] = {
	{SSL_R_HTTP_REQUEST, "plain HTTP on a TLS port"},
	{SSL_R_HTTPS_PROXY_REQUEST, "plain HTTP CONNECT on a TLS port"},
	{SSL_R_WRONG_VERSION_NUMBER, "the peer does not speak TLS, or no version that is accepted here"},
	{SSL_R_UNSUPPORTED_PROTOCOL, "the peer offers no protocol version that is accepted here"},
	{SSL_R_VERSION_TOO_LOW, "the peer offers no protocol version that is accepted here"},
	{SSL_R_NO_SHARED_CIPHER, "the peer offers no cipher that is accepted here"},
	{SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the client sent no certificate, and one is required"},
	{SSL_R_NO_APPLICATION_PROTOCOL,
	 "the peer offers no application protocol (ALPN) that is supported here"},
	{SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a record was forged or damaged"},
	{SSL_R_PACKET_LENGTH_TOO_LONG, "the peer does not speak TLS: a record is too long"},
	{SSL_R_DATA_LENGTH_TOO_LONG, "the peer does not speak TLS, or sent a record that is too long"},
	{SSL_R_RECORD_LENGTH_MISMATCH, "the peer does not speak TLS: a record is too long"},
	{SSL_R_BAD_RECORD_TYPE, "the peer does not speak TLS: unknown record type"},
	{SSL_R_UNEXPECTED_MESSAGE, "a message came out of order"},
};

int tls_why(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	ERR_clear_error();
	if (!why)
		return err;
	va_start(ap, fmt);
	vsnprintf(why, TLS_WHY_LEN, fmt, ap);
	va_end(ap);
	return err;
}

/* What PEM readers report for a file with other contents; key decoders report it for any unknown format. */
static bool is_other_format(unsigned long err)
{
	if (ERR_GET_LIB(err) == ERR_LIB_OSSL_DECODER)
		return ERR_GET_REASON(err) == ERR_R_UNSUPPORTED;
	return ERR_GET_LIB(err) == ERR_LIB_PEM && ERR_GET_REASON(err) == PEM_R_NO_START_LINE;
}

int tls_why_file(char *why, const char *file, const char *wanted)
{
	unsigned long first = ERR_peek_error(), err;
	bool is_other = false;
	int sys = 0;

	while ((err = ERR_get_error())) {
		if (ERR_GET_LIB(err) == ERR_LIB_SYS)
			sys = ERR_GET_REASON(err);
		else if (ERR_GET_REASON(err) == ERR_R_MALLOC_FAILURE)
			sys = ENOMEM;
		is_other = is_other || is_other_format(err);
	}
	if (sys)
		return tls_why(why, -sys, "%s: %s", file, strerror(sys));
	if (is_other || !first)
		return tls_why(why, -EINVAL, "%s: holds no valid %s in PEM format", file, wanted);
	return tls_why(why, -EINVAL, "%s: not a valid %s: %s", file, wanted, ERR_reason_error_string(first));
}

/* A record that is too short to be decrypted is an "internal error" for these. */
static bool is_of_record(const char *func)
{
	static const char *const funcs[] = {"tls1_enc", "tls13_enc", "tls1_cipher", "tls13_cipher"};

	for (size_t i = 0; func && i < sizeof(funcs) / sizeof(funcs[0]); i++)
		if (!strcmp(func, funcs[i]))
			return true;
	return false;
}

/* The earliest entry of the SSL library names the cause; other libraries' entries are its details. */
static unsigned long ssl_cause(void)
{
	unsigned long first = 0, err;
	const char *func;

	while ((err = ERR_get_error_all(NULL, NULL, &func, NULL, NULL))) {
		if (!first)
			first = err;
		if (ERR_GET_LIB(err) != ERR_LIB_SSL)
			continue;
		if (ERR_GET_REASON(err) == ERR_R_INTERNAL_ERROR && is_of_record(func))
			return ERR_PACK(ERR_LIB_SSL, 0, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
		return err;
	}
	return first;
}

static char *verify_text(const struct tls *tls)
{
	SSL *ssl = tls->ssl;
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	long result = SSL_get_verify_result(ssl);
	const char *text = X509_verify_cert_error_string(result);
	char *ip = NULL, *line = NULL;
	int n;

	if (result == X509_V_ERR_HOSTNAME_MISMATCH)
		n = asprintf(&line, "certificate verify failed: it is not for host %s",
			     X509_VERIFY_PARAM_get0_host(param, 0));
	else if (result == X509_V_ERR_IP_ADDRESS_MISMATCH && (ip = X509_VERIFY_PARAM_get1_ip_asc(param)))
		n = asprintf(&line, "certificate verify failed: it is not for address %s", ip);
	else if (tls->refused)
		n = asprintf(&line, "certificate verify failed: %s: that of \"%s\"", text, tls->refused);
	else
		n = asprintf(&line, "certificate verify failed: %s", text);
	OPENSSL_free(ip);
	return n < 0 ? NULL : line;
}

/* Whether @start is a method of HTTP, as long as there is of it: capital letters, then a blank. */
static bool is_method(const unsigned char *start, size_t len)
{
	size_t i = 0;

	while (i < len && start[i] >= 'A' && start[i] <= 'Z')
		i++;
	return i && (i == len || start[i] == ' ');
}

/* The reason of OpenSSL, which knows but four methods of HTTP and CONNECT. */
static int session_reason(const struct tls *tls, unsigned long err)
{
	if (ERR_GET_LIB(err) == ERR_LIB_SSL && ERR_GET_REASON(err) == SSL_R_WRONG_VERSION_NUMBER &&
	    SSL_is_server(tls->ssl) && is_method(tls->start, tls->start_len))
		return SSL_R_HTTP_REQUEST;
	return ERR_GET_REASON(err);
}

static char *cause_text(const struct tls *tls, unsigned long err, int reason)
{
	const char *text = ERR_reason_error_string(err);
	char *line;

	if (!err)
		return strdup("out of memory");
	if (ERR_GET_LIB(err) == ERR_LIB_SSL) {
		if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
			return verify_text(tls);
		/* Alerts are one octet; above them are the reasons that all of OpenSSL shares. */
		if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
			return asprintf(&line, "the peer sent alert \"%s\"",
					SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET)) < 0
				       ? NULL
				       : line;
		for (size_t i = 0; i < sizeof(plain_words) / sizeof(plain_words[0]); i++)
			if (plain_words[i].reason == reason)
				return strdup(plain_words[i].text);
	}
	return asprintf(&line, "%s", text ? text : "unknown error") < 0 ? NULL : line;
}

/* An empty queue means that bio_write() was out of memory: nothing else fails without an entry. */
char *tls_why_session(struct tls *tls)
{
	unsigned long cause = ssl_cause();
	int reason = session_reason(tls, cause);
	bool is_ssl = ERR_GET_LIB(cause) == ERR_LIB_SSL;
	char *line = cause_text(tls, cause, reason);

	tls->is_http = is_ssl && (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST);
	tls->is_untrusted = is_ssl && tls->ctx->is_server &&
			    (reason == SSL_R_CERTIFICATE_VERIFY_FAILED ||
			     reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE);
	ERR_clear_error();
	return line;
}
