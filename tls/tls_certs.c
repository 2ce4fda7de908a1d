/* SPDX-License-Identifier: MIT */
/*
 * The certificates of a directory, and the choice among them by SNI (RFC 6066, 3). Loaded on the main thread,
 * used by handshakes on any.
 *
 * Invariant: nothing changes once it is loaded. A reload makes another set, which takes from the one before
 * what its own file no longer gives.
 */
#include "tls_certs.h"

#include "tls_error.h"
#include "tls_pair.h"
#include "tls_stamp.h"
#include "tls_staple.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_MAX_LEN 255

/* OpenSSL keeps one certificate of each type of key, and prefers them in this order. */
static const int key_types[] = {EVP_PKEY_EC, EVP_PKEY_ED25519, EVP_PKEY_ED448, EVP_PKEY_RSA,
				EVP_PKEY_RSA_PSS};
#define NTYPES (sizeof(key_types) / sizeof(key_types[0]))

enum { STAMP_CERT, STAMP_KEY, STAMP_STAPLE, NSTAMPS };

struct entry {
	char *file;
	struct tls_pair pair;
	/* Of the file, its key and its staple; what is not from them as they were then is of no use again. */
	struct tls_stamp stamps[NSTAMPS];
	bool is_stale;
};

/* What is served under a name: of each type of key the certificate that is valid longest. */
struct row {
	char *name; /* in small letters; "*.example.org" stands for one label */
	const struct entry *of[NTYPES];
};

struct tls_certs {
	atomic_uint refs;
	char *dir;
	struct entry *entries; /* in the order of their files' names */
	size_t nentries;
	struct row *rows; /* in the order of their names */
	size_t nrows;
};

/* --- names --- */

static size_t type_of(const struct entry *entry)
{
	size_t type = 0;

	while (type < NTYPES && EVP_PKEY_get_base_id(entry->pair.key) != key_types[type])
		type++;
	return type;
}

static bool lasts_longer(const struct entry *a, const struct entry *b)
{
	return ASN1_TIME_compare(X509_get0_notAfter(a->pair.cert), X509_get0_notAfter(b->pair.cert)) > 0;
}

static void row_add(struct row *row, const struct entry *entry)
{
	const struct entry **of = &row->of[type_of(entry)];

	if (!*of || lasts_longer(entry, *of))
		*of = entry;
}

/* Copies a name as it is compared: in small letters, without the dot at its end. False: no host has it. */
static bool name_copy(char *to, const void *name, size_t len)
{
	const unsigned char *from = name;

	if (len && from[len - 1] == '.')
		len--;
	if (!len || len >= NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (from[i] <= ' ' || from[i] > '~')
			return false;
		to[i] = (char)tolower(from[i]);
	}
	to[len] = '\0';
	return true;
}

static int name_add(struct tls_certs *certs, const struct entry *entry, const ASN1_STRING *name)
{
	char copy[NAME_MAX_LEN];
	struct row *rows;

	if (!name_copy(copy, ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name)))
		return 0;
	rows = reallocarray(certs->rows, certs->nrows + 1, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	certs->rows = rows;
	rows[certs->nrows] = (struct row){.name = strdup(copy)};
	if (!rows[certs->nrows].name)
		return -ENOMEM;
	row_add(&rows[certs->nrows++], entry);
	return 0;
}

/* The common name counts only where there are no other names of hosts (RFC 6125, 6.4.4). */
static int common_name_add(struct tls_certs *certs, const struct entry *entry)
{
	X509_NAME *subject = X509_get_subject_name(entry->pair.cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	return at < 0 ? 0
		      : name_add(certs, entry, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

static int names_add(struct tls_certs *certs, const struct entry *entry)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(entry->pair.cert, NID_subject_alt_name, NULL, NULL);
	bool has_host = false;
	int err = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !err; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_DNS)
			continue;
		has_host = true;
		err = name_add(certs, entry, name->d.dNSName);
	}
	GENERAL_NAMES_free(names);
	return has_host || err ? err : common_name_add(certs, entry);
}

static int row_compare(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static void row_merge(struct row *row, struct row *other)
{
	for (size_t type = 0; type < NTYPES; type++)
		if (other->of[type])
			row_add(row, other->of[type]);
	free(other->name);
}

static int rows_make(struct tls_certs *certs)
{
	size_t n = 0;

	for (size_t i = 0; i < certs->nentries; i++)
		if (names_add(certs, &certs->entries[i]))
			return -ENOMEM;
	if (certs->nrows)
		qsort(certs->rows, certs->nrows, sizeof(*certs->rows), row_compare);
	for (size_t i = 0; i < certs->nrows; i++)
		if (n && !row_compare(&certs->rows[n - 1], &certs->rows[i]))
			row_merge(&certs->rows[n - 1], &certs->rows[i]);
		else
			certs->rows[n++] = certs->rows[i];
	certs->nrows = n;
	return 0;
}

static const struct row *row_of(const struct tls_certs *certs, char *name)
{
	const struct row key = {.name = name};

	return certs->nrows ? bsearch(&key, certs->rows, certs->nrows, sizeof(key), row_compare) : NULL;
}

/* RFC 6125, 6.4.3: the star is the whole first label. */
static const struct row *row_find(const struct tls_certs *certs, const unsigned char *name, size_t len)
{
	char copy[NAME_MAX_LEN], *dot;
	const struct row *row;

	if (!name_copy(copy, name, len))
		return NULL;
	row = row_of(certs, copy);
	dot = strchr(copy, '.');
	if (row || !dot || dot == copy)
		return row;
	*--dot = '*';
	return row_of(certs, dot);
}

/* --- files --- */

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len > suffix_len && !strcmp(name + len - suffix_len, suffix);
}

static int is_cert_name(const struct dirent *entry)
{
	const char *name = entry->d_name;

	return name[0] != '.' && (has_suffix(name, ".pem") || has_suffix(name, ".crt"));
}

/* For what is found only when a certificate is used: a key that is too short, a type that is not known. */
static int try_pair(const struct entry *entry, SSL_CTX *ctx, char *why)
{
	if (type_of(entry) == NTYPES)
		return tls_why(why, -EINVAL, "%s: TLS does not use keys of this type", entry->file);
	return tls_pair_use_ctx(ctx, &entry->pair, entry->file, why);
}

static int read_entry(struct entry *entry, const char *key, SSL_CTX *ctx, char *why)
{
	struct stat st;
	int err;

	if (stat(entry->file, &st))
		return tls_why(why, -errno, "%s: %s", entry->file, strerror(errno));
	/* A FIFO would be waited for. */
	if (!S_ISREG(st.st_mode))
		return tls_why(why, -EINVAL, "%s: not a regular file", entry->file);
	err = tls_pair_load(&entry->pair, entry->file, key, why);
	if (err)
		return err;
	err = try_pair(entry, ctx, why);
	if (err)
		tls_pair_fini(&entry->pair);
	return err;
}

static int entry_compare(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->file, ((const struct entry *)b)->file);
}

static const struct entry *entry_of(const struct tls_certs *certs, const struct entry *like)
{
	return certs && certs->nentries
		       ? bsearch(like, certs->entries, certs->nentries, sizeof(*like), entry_compare)
		       : NULL;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

struct loading {
	const struct tls_certs *from;
	SSL_CTX *ctx; /* to try certificates with */
	tls_certs_report *report;
	void *arg;
	char first[TLS_WHY_LEN]; /* the first reason, "" if there was none */
};

static void report(struct loading *loading, bool is_bad, const char *why, const char *more)
{
	char line[TLS_WHY_LEN + 64];

	snprintf(line, sizeof(line), "%s%s", why, more);
	if (is_bad && !loading->first[0])
		snprintf(loading->first, sizeof(loading->first), "%s", why);
	if (loading->report)
		loading->report(loading->arg, is_bad, line);
}

/* In the place of a staple that is bad goes the one before, as long as it is valid. */
static void keep_staple(struct entry *entry, const struct entry *before, struct loading *loading,
			const char *why)
{
	bool is_kept =
		entry->pair.lacks_staple && before && tls_staple_copy(entry->pair.cert, before->pair.cert);

	if (why[0])
		report(loading, false, why,
		       is_kept ? "; the one that was loaded before stays in effect" : "");
}

/* Copies what was read before if it would be the same, and nothing were to be said of it. */
static bool is_unchanged(const struct entry *entry, const struct entry *before)
{
	bool holds = before && !before->is_stale && !tls_pair_is_suspect(&before->pair);

	for (int i = 0; i < NSTAMPS && holds; i++)
		holds = tls_stamp_holds(&before->stamps[i], &entry->stamps[i]);
	return holds;
}

static int take_over(struct entry *entry, const struct entry *before)
{
	return tls_pair_copy(&entry->pair, &before->pair) ? -ENOMEM : 1;
}

static int read_or_keep(struct entry *entry, const struct entry *before, const char *key,
			struct loading *loading)
{
	char why[TLS_WHY_LEN];
	int err = read_entry(entry, key, loading->ctx, why);

	if (!err)
		keep_staple(entry, before, loading, why);
	if (!err || err == -ENOMEM)
		return err ? err : 1;
	report(loading, true, why, before ? "; the one that was loaded before stays in effect" : "");
	entry->is_stale = true;
	return before ? take_over(entry, before) : 0;
}

/* 1: there is one now; 0: there is none, as was reported; or -ENOMEM. */
static int load_entry(struct entry *entry, struct loading *loading)
{
	const struct entry *before = entry_of(loading->from, entry);
	char *key = NULL, *staple = NULL;
	int ret = -ENOMEM;

	if (!tls_pair_beside(entry->file, ".key", &key) && !tls_pair_beside(entry->file, ".ocsp", &staple)) {
		entry->is_stale = false;
		tls_stamp_take(&entry->stamps[STAMP_CERT], entry->file);
		tls_stamp_take(&entry->stamps[STAMP_KEY], key);
		tls_stamp_take(&entry->stamps[STAMP_STAPLE], staple);
		ret = is_unchanged(entry, before) ? take_over(entry, before)
						  : read_or_keep(entry, before, key, loading);
	}
	free(key);
	free(staple);
	return ret;
}

static int load_files(struct tls_certs *certs, struct dirent **files, int n, struct loading *loading)
{
	certs->entries = calloc((size_t)n + 1, sizeof(*certs->entries));
	if (!certs->entries)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		struct entry *entry = &certs->entries[certs->nentries];
		int ret;

		if (asprintf(&entry->file, "%s/%s", certs->dir, files[i]->d_name) < 0) {
			entry->file = NULL;
			return -ENOMEM;
		}
		ret = load_entry(entry, loading);
		if (ret < 0) {
			free(entry->file);
			return ret;
		}
		if (ret)
			certs->nentries++;
		else
			free(entry->file);
	}
	return rows_make(certs);
}

/* Those of @certs, whose directory is set. */
static int load(struct tls_certs *certs, struct loading *loading, char *why)
{
	struct dirent **files;
	int n = scandir(certs->dir, &files, is_cert_name, by_name), err;

	if (n < 0)
		return tls_why(why, -errno, "%s: %s", certs->dir, strerror(errno));
	err = load_files(certs, files, n, loading);
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	if (err)
		return tls_why(why, err, "out of memory");
	if (certs->nentries)
		return 0;
	if (n)
		return tls_why(why, -EINVAL, "%s: no certificate can be used: %s", certs->dir,
			       loading->first);
	return tls_why(why, -EINVAL,
		       "%s: holds no certificate: NAME.pem with its key, or NAME.crt and NAME.key",
		       certs->dir);
}

int tls_certs_load(struct tls_certs **certs, const char *dir, const struct tls_certs *from,
		   tls_certs_report *fn, void *arg, char *why)
{
	struct loading loading = {
		.from = from, .ctx = SSL_CTX_new(TLS_server_method()), .report = fn, .arg = arg};
	struct tls_certs *made = calloc(1, sizeof(*made));
	int err = -ENOMEM;

	if (made) {
		atomic_init(&made->refs, 1);
		made->dir = strdup(dir);
	}
	if (!made || !made->dir || !loading.ctx)
		tls_why(why, err, "out of memory");
	else
		err = load(made, &loading, why);
	SSL_CTX_free(loading.ctx);
	ERR_clear_error();
	if (err)
		tls_certs_put(made);
	else
		*certs = made;
	return err;
}

const char *tls_certs_dir(const struct tls_certs *certs)
{
	return certs->dir;
}

/* --- handshakes --- */

/* The name in the extension server_name; NULL: none. What is malformed OpenSSL refuses later. */
static const unsigned char *asked_name(SSL *ssl, size_t *len)
{
	const unsigned char *data;
	size_t n;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &n) != 1)
		return NULL;
	/* Length of the list, type, length of the name. */
	if (n < 5 || data[2] != TLSEXT_NAMETYPE_host_name)
		return NULL;
	*len = (size_t)data[3] << 8 | data[4];
	return *len <= n - 5 ? data + 5 : NULL;
}

/* A session is resumed only under the name that it was made for (see set_session_context() in tls_ctx.c). */
static bool set_identity(SSL *ssl, const struct tls_ctx *ctx, const struct row *row)
{
	unsigned char id[TLS_ID_LEN + EVP_MAX_MD_SIZE];

	memcpy(id, ctx->id, TLS_ID_LEN);
	return EVP_Digest(row->name, strlen(row->name), id + TLS_ID_LEN, NULL, EVP_sha256(), NULL) == 1 &&
	       SSL_set_session_id_context(ssl, id, 2 * TLS_ID_LEN) == 1;
}

static bool row_use(SSL *ssl, const struct row *row)
{
	SSL_certs_clear(ssl);
	for (size_t type = 0; type < NTYPES; type++)
		if (row->of[type] && !tls_pair_use(ssl, &row->of[type]->pair))
			return false;
	return true;
}

/*
 * SSL_CTX_set_client_hello_cb(3): comes before a session is resumed, as the callback of the extension does
 * not; once more after a HelloRetryRequest.
 */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
	const struct tls_ctx *ctx = arg;
	size_t len;
	const unsigned char *name = asked_name(ssl, &len);
	const struct row *row = name ? row_find(ctx->certs, name, len) : NULL;

	if (!row || (row_use(ssl, row) && set_identity(ssl, ctx, row)))
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}

/* The first file's, and what has keys of other types for its first name. */
static int use_default(SSL_CTX *ssl_ctx, const struct tls_certs *certs, char *why)
{
	const struct entry *first = &certs->entries[0];
	const struct row *row = NULL;
	int err = 0;

	for (size_t i = 0; i < certs->nrows && !row; i++)
		if (certs->rows[i].of[type_of(first)] == first)
			row = &certs->rows[i];
	for (size_t type = NTYPES; row && type-- && !err;)
		if (row->of[type] && row->of[type] != first)
			err = tls_pair_use_ctx(ssl_ctx, &row->of[type]->pair, row->of[type]->file, why);
	/* The last one is that of SSL_CTX_get0_certificate(). */
	return err ? err : tls_pair_use_ctx(ssl_ctx, &first->pair, first->file, why);
}

int tls_certs_use(struct tls_ctx *ctx, struct tls_certs *certs, bool with_default, char *why)
{
	ctx->certs = tls_certs_get(certs);
	SSL_CTX_set_client_hello_cb(ctx->ssl_ctx, on_hello, ctx);
	return with_default ? use_default(ctx->ssl_ctx, certs, why) : 0;
}

/* --- references --- */

struct tls_certs *tls_certs_get(struct tls_certs *certs)
{
	atomic_fetch_add_explicit(&certs->refs, 1, memory_order_relaxed);
	return certs;
}

void tls_certs_put(struct tls_certs *certs)
{
	if (!certs || atomic_fetch_sub_explicit(&certs->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < certs->nentries; i++) {
		tls_pair_fini(&certs->entries[i].pair);
		free(certs->entries[i].file);
	}
	for (size_t i = 0; i < certs->nrows; i++)
		free(certs->rows[i].name);
	free(certs->entries);
	free(certs->rows);
	free(certs->dir);
	free(certs);
}
