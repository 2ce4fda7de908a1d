/* SPDX-License-Identifier: MIT */
/*
 * Self-signed key material for a first run. Called before a context is built, on any thread.
 *
 * Invariant: a file under its final name is complete, and no existing file is replaced. The key comes first,
 * so that wherever the certificate exists, its key does too.
 */
#include "tls.h"
#include "tls_error.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Clocks differ: a certificate valid from this second would not yet be valid elsewhere. */
#define BACKDATE_S 3600

#define DAYS_MAX 36500

/* X.509 bound of a common name. */
#define CN_MAX 64

static bool is_hostname(const char *host)
{
	size_t len = strlen(host);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr("-._*", host[i]))
			return false;
	return len > 0 && len < 254;
}

/* Returns the address length, 0 if @text is a name. */
static int parse_address(const char *text, unsigned char *addr)
{
	if (inet_pton(AF_INET, text, addr) == 1)
		return 4;
	return inet_pton(AF_INET6, text, addr) == 1 ? 16 : 0;
}

static int names_add(GENERAL_NAMES *names, const char *text)
{
	unsigned char addr[16];
	int len = parse_address(text, addr);
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *value = ASN1_STRING_type_new(len ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

	if (!name || !value)
		goto free_both;
	if (!ASN1_STRING_set(value, len ? (const void *)addr : text, len ? len : -1))
		goto free_both;
	GENERAL_NAME_set0_value(name, len ? GEN_IPADD : GEN_DNS, value);
	if (sk_GENERAL_NAME_push(names, name))
		return 0;
	value = NULL; /* the name owns it now */
free_both:
	ASN1_STRING_free(value);
	GENERAL_NAME_free(name);
	return -ENOMEM;
}

static int add_names(X509 *cert, const char *host)
{
	static const char *const always[] = {"localhost", "127.0.0.1", "::1"};
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool is_new = true;
	int err = -ENOMEM;

	if (!names)
		return err;
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		is_new = is_new && strcmp(host, always[i]);
		if (names_add(names, always[i]))
			goto free_names;
	}
	if (is_new && names_add(names, host))
		goto free_names;
	if (X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1)
		err = 0;
free_names:
	GENERAL_NAMES_free(names);
	return err;
}

static int add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *ext;
	int ok;

	X509V3_set_ctx(&v3, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	if (!ext)
		return -ENOMEM;
	ok = X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	return ok ? 0 : -ENOMEM;
}

/* RFC 5280, 4.1.2.2: positive, no more than 20 octets, and unique. */
static int set_serial(X509 *cert)
{
	BIGNUM *number = BN_new();
	int ok = number && BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
		 BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));

	BN_free(number);
	return ok ? 0 : -ENOMEM;
}

static int set_subject(X509 *cert, const char *host)
{
	X509_NAME *name = X509_get_subject_name(cert);
	const char *cn = strlen(host) <= CN_MAX ? host : "self-signed";

	if (!X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0))
		return -ENOMEM;
	return X509_set_issuer_name(cert, name) ? 0 : -ENOMEM;
}

static int fill_cert(X509 *cert, EVP_PKEY *key, const char *host, unsigned int days)
{
	if (!X509_set_version(cert, X509_VERSION_3) || set_serial(cert) || set_subject(cert, host))
		return -ENOMEM;
	if (!X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_S) ||
	    !X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL) || !X509_set_pubkey(cert, key))
		return -ENOMEM;
	if (add_names(cert, host) || add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") ||
	    add_extension(cert, NID_key_usage, "critical,digitalSignature") ||
	    add_extension(cert, NID_ext_key_usage, "serverAuth") ||
	    add_extension(cert, NID_subject_key_identifier, "hash"))
		return -ENOMEM;
	return X509_sign(cert, key, EVP_sha256()) ? 0 : -ENOMEM;
}

/* A file under a temporary name. */
struct draft {
	const char *file;
	char *tmp;
	FILE *stream;
};

static int draft_open(struct draft *draft, const char *file, mode_t mode)
{
	int err, fd;

	*draft = (struct draft){.file = file};
	if (asprintf(&draft->tmp, "%s.XXXXXX", file) < 0) {
		draft->tmp = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(draft->tmp, O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		free(draft->tmp);
		draft->tmp = NULL;
		return err;
	}
	if (fchmod(fd, mode) == 0 && (draft->stream = fdopen(fd, "w")))
		return 0;
	err = -errno;
	close(fd);
	return err;
}

/* link(2), not rename(2): it does not replace a file that somebody else has put there meanwhile. */
static int draft_publish(struct draft *draft)
{
	if (fflush(draft->stream) || fsync(fileno(draft->stream)))
		return -errno;
	return link(draft->tmp, draft->file) ? -errno : 0;
}

static void draft_close(struct draft *draft)
{
	if (draft->stream)
		fclose(draft->stream);
	if (draft->tmp)
		unlink(draft->tmp);
	free(draft->tmp);
}

/* On failure *why_file is the file concerned. */
static int write_files(const char *cert_file, X509 *cert, const char *key_file, EVP_PKEY *key,
		       const char **why_file)
{
	struct draft key_draft = {0}, cert_draft = {0};
	int err;

	*why_file = key_file;
	err = draft_open(&key_draft, key_file, 0600);
	if (!err && !PEM_write_PrivateKey(key_draft.stream, key, NULL, NULL, 0, NULL, NULL))
		err = -EIO;
	if (err)
		goto close_drafts;
	*why_file = cert_file;
	err = draft_open(&cert_draft, cert_file, 0644);
	if (!err && !PEM_write_X509(cert_draft.stream, cert))
		err = -EIO;
	if (err)
		goto close_drafts;
	*why_file = key_file;
	err = draft_publish(&key_draft);
	if (err)
		goto close_drafts;
	*why_file = cert_file;
	err = draft_publish(&cert_draft);
	if (err)
		unlink(key_file);
close_drafts:
	draft_close(&cert_draft);
	draft_close(&key_draft);
	return err;
}

static int check_absent(const char *file, char *why)
{
	struct stat st;

	if (!lstat(file, &st))
		return tls_why(why, -EEXIST, "%s: already exists", file);
	return 0;
}

int tls_self_signed(const char *cert_file, const char *key_file, const char *host, unsigned int days,
		    char *why)
{
	unsigned char addr[16];
	const char *why_file;
	EVP_PKEY *key;
	X509 *cert;
	int err;

	if (!is_hostname(host) && !parse_address(host, addr))
		return tls_why(why, -EINVAL, "\"%s\" is neither a host name nor an address", host);
	if (days > DAYS_MAX)
		return tls_why(why, -EINVAL, "validity of %u days exceeds the maximum of %u", days, DAYS_MAX);
	err = check_absent(key_file, why);
	if (!err)
		err = check_absent(cert_file, why);
	if (err)
		return err;

	key = EVP_EC_gen("P-256");
	cert = X509_new();
	if (!key || !cert || fill_cert(cert, key, host, days)) {
		err = tls_why(why, -ENOMEM, "out of memory");
		goto free_both;
	}
	err = write_files(cert_file, cert, key_file, key, &why_file);
	tls_why(why, err, "%s%s%s", err ? why_file : "", err ? ": " : "", err ? strerror(-err) : "");
free_both:
	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}
