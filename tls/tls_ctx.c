/* SPDX-License-Identifier: MIT */
/*
 * Contexts: versions, ciphers, key material, trust, ALPN, key log; what all sessions of a listener share.
 * Built and dropped on any thread; used by all of them.
 *
 * Invariant: nothing in a context changes once it is handed out (a reload builds another one and puts the old
 * one, which its sessions keep alive), except OpenSSL's session cache, which has its own lock.
 */
#include "tls_bio.h"
#include "tls_certs.h"
#include "tls_error.h"
#include "tls_int.h"
#include "tls_kernel.h"
#include "tls_keys.h"
#include "tls_pair.h"
#include "tls_staple.h"
#include "tls_suites.h"
#include "tls_trust.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static void keylog_line(const SSL *ssl, const char *line)
{
	struct tls_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct iovec iov[] = {
		{.iov_base = (char *)line, .iov_len = strlen(line)},
		{.iov_base = "\n", .iov_len = 1},
	};

	if (ctx->kernel != TLS_KERNEL_NO)
		tls_kernel_note_secret(BIO_get_data(SSL_get_rbio(ssl)), line);
	if (ctx->keylog_fd < 0)
		return;
	/* One call with O_APPEND, so that workers do not mix lines. A full disk costs a debugging aid. */
	if (writev(ctx->keylog_fd, iov, 2) < 0)
		return;
}

static int set_keylog(struct tls_ctx *ctx, const char *file, enum tls_kernel_use kernel, char *why)
{
	ctx->kernel = kernel;
	tls_kernel_look_again();
	if (kernel != TLS_KERNEL_NO)
		SSL_CTX_set_keylog_callback(ctx->ssl_ctx, keylog_line);
	if (!file)
		return 0;
	ctx->keylog_fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (ctx->keylog_fd < 0)
		return tls_why(why, -errno, "%s: cannot open the key log: %s", file, strerror(errno));
	SSL_CTX_set_keylog_callback(ctx->ssl_ctx, keylog_line);
	return 0;
}

static int set_min_version(struct tls_ctx *ctx, const char *version, char *why)
{
	int number = TLS1_2_VERSION;

	if (version && !strcmp(version, "1.3"))
		number = TLS1_3_VERSION;
	else if (version && strcmp(version, "1.2"))
		return tls_why(why, -EINVAL, "TLS version %s: only 1.2 and 1.3 are supported", version);
	SSL_CTX_set_min_proto_version(ctx->ssl_ctx, number);
	return 0;
}

/* RFC 7301, 3.2: a client that offers protocols, but none of ours, gets alert no_application_protocol. */
static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		       unsigned int in_len, void *arg)
{
	struct tls_ctx *ctx = arg;
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, out_len, ctx->alpn, ctx->alpn_len, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* "a,bc" as "\1a\2bc". */
static int alpn_encode(struct tls_ctx *ctx, const char *names)
{
	size_t at = 0;

	for (;;) {
		size_t len = strcspn(names, ",");

		if (!len || at + 1 + len > ALPN_MAX)
			return -EINVAL;
		ctx->alpn[at] = len;
		memcpy(ctx->alpn + at + 1, names, len);
		at += 1 + len;
		if (!names[len])
			break;
		names += len + 1;
	}
	ctx->alpn_len = at;
	return 0;
}

static int set_alpn(struct tls_ctx *ctx, const char *names, char *why)
{
	if (!names)
		return 0;
	if (alpn_encode(ctx, names))
		return tls_why(why, -EINVAL, "ALPN protocols \"%s\": an empty name, or too long", names);
	if (ctx->is_server)
		SSL_CTX_set_alpn_select_cb(ctx->ssl_ctx, alpn_select, ctx);
	else if (SSL_CTX_set_alpn_protos(ctx->ssl_ctx, ctx->alpn, ctx->alpn_len))
		return tls_why(why, -ENOMEM, "out of memory");
	return 0;
}

/*
 * RELEASE_BUFFERS: an idle session keeps no record buffers (34 KiB). PARTIAL_WRITE, MOVING_WRITE_BUFFER: the
 * contract of tls_write(). NO_AUTO_CHAIN: send what is in the file, instead of a search at each handshake.
 */
static int set_common(struct tls_ctx *ctx)
{
	SSL_CTX *ssl_ctx = ctx->ssl_ctx;

	SSL_CTX_set_app_data(ssl_ctx, ctx);
	SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_read_ahead(ssl_ctx, 0);
	return tls_suites_default(ssl_ctx);
}

static struct tls_ctx *ctx_create(const SSL_METHOD *method, bool is_server)
{
	struct tls_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	atomic_init(&ctx->refs, 1);
	ctx->keylog_fd = -1;
	ctx->is_server = is_server;
	ctx->bio = tls_bio_method();
	ctx->ssl_ctx = SSL_CTX_new(method);
	if (ctx->bio && ctx->ssl_ctx && !set_common(ctx))
		return ctx;
	tls_ctx_put(ctx);
	return NULL;
}

static int load_pair(struct tls_ctx *ctx, const char *cert_file, const char *key_file, char *why)
{
	struct tls_pair pair;
	int err = tls_pair_load(&pair, cert_file, key_file, why);

	if (err)
		return err;
	err = tls_pair_use_ctx(ctx->ssl_ctx, &pair, cert_file, why);
	tls_pair_fini(&pair);
	return err;
}

static int load_server(struct tls_ctx *ctx, const struct tls_server_params *params, char *why)
{
	int err;

	tls_staple_use(ctx->ssl_ctx);
	if (params->certs) {
		err = tls_certs_use(ctx, params->certs, !params->cert_file, why);
		if (err || !params->cert_file)
			return err;
	}
	return load_pair(ctx, params->cert_file, params->key_file, why);
}

static bool digest_names(EVP_MD_CTX *digest, X509 *cert)
{
	int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
	const unsigned char *der = NULL;
	size_t len = 0;

	if (!X509_NAME_get0_der(X509_get_subject_name(cert), &der, &len) ||
	    !EVP_DigestUpdate(digest, der, len))
		return false;
	if (at >= 0) {
		const ASN1_OCTET_STRING *names = X509_EXTENSION_get_data(X509_get_ext(cert, at));

		return EVP_DigestUpdate(digest, ASN1_STRING_get0_data(names),
					(size_t)ASN1_STRING_length(names));
	}
	return true;
}

/* What is the same for all certificates of a context: the protocols, and what clients have to satisfy. */
static int set_id(struct tls_ctx *ctx, const struct tls_server_params *params, char *why)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char id[EVP_MAX_MD_SIZE];
	bool done = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) &&
		    EVP_DigestUpdate(digest, ctx->alpn, ctx->alpn_len);
	int err = done ? tls_trust_clients(ctx->ssl_ctx, params, digest, why) : 0;

	done = done && EVP_DigestFinal_ex(digest, id, NULL);
	EVP_MD_CTX_free(digest);
	if (done)
		memcpy(ctx->id, id, TLS_ID_LEN);
	return done || err ? err : tls_why(why, -ENOMEM, "out of memory");
}

/*
 * Contexts that share ticket keys must not resume a session of another identity: its client would take this
 * server for that one. The names of the certificate and the protocols are the identity, not the certificate,
 * so that sessions outlive its renewal. Where the certificate is chosen by name, that name is in the place of
 * the certificate's (tls_certs.c). Neither must they resume that of a client whom this one would refuse.
 */
static int set_session_context(struct tls_ctx *ctx)
{
	unsigned char id[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool done = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) &&
		    EVP_DigestUpdate(digest, ctx->id, TLS_ID_LEN) &&
		    digest_names(digest, SSL_CTX_get0_certificate(ctx->ssl_ctx)) &&
		    EVP_DigestFinal_ex(digest, id, NULL);

	EVP_MD_CTX_free(digest);
	return done && SSL_CTX_set_session_id_context(ctx->ssl_ctx, id, SSL_MAX_SID_CTX_LENGTH) ? 0 : -ENOMEM;
}

/* OpenSSL takes a size of 0 for no bound. */
static void set_cache(SSL_CTX *ssl_ctx, unsigned int sessions)
{
	SSL_CTX_set_session_cache_mode(ssl_ctx, sessions ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
	SSL_CTX_sess_set_cache_size(ssl_ctx, sessions ? sessions : 1);
}

/*
 * One ticket per handshake, not OpenSSL's two: each costs an encryption, 250 bytes on the wire and a copy of
 * the session while it is made, and a client may use one ticket for several connections. Tickets are
 * stateless, unless there are to be none: then TLS 1.3's are only the name of a session in the cache.
 */
static int set_resumption(struct tls_ctx *ctx, const struct tls_server_params *params, char *why)
{
	int err;

	SSL_CTX_set_num_tickets(ctx->ssl_ctx, params->no_tickets && !params->cache_sessions ? 0 : 1);
	if (params->no_tickets)
		SSL_CTX_set_options(ctx->ssl_ctx, SSL_OP_NO_TICKET);
	set_cache(ctx->ssl_ctx, params->cache_sessions);
	SSL_CTX_set_timeout(ctx->ssl_ctx, TLS_TICKET_LIFETIME_S);
	err = set_session_context(ctx);
	if (!err && params->ticket_keys)
		err = tls_keys_use(ctx, params->ticket_keys);
	return err ? tls_why(why, err, "out of memory") : 0;
}

/* Hands a new context to the caller, or drops it after an error. Returns @err. */
static int ctx_finish(struct tls_ctx **ctx, struct tls_ctx *made, int err)
{
	if (err) {
		tls_ctx_put(made);
		return err;
	}
	ERR_clear_error();
	*ctx = made;
	return 0;
}

/* Any name is served; OpenSSL keeps it with the session only if it is told so. */
static int accept_name(SSL *ssl, int *alert, void *arg)
{
	return SSL_TLSEXT_ERR_OK;
}

int tls_ctx_server(struct tls_ctx **ctx, const struct tls_server_params *params, char *why)
{
	struct tls_ctx *made;
	int err;

	if (!params->cert_file && !params->certs)
		return tls_why(why, -EINVAL, "no certificate file given");
	made = ctx_create(TLS_server_method(), true);
	if (!made)
		return tls_why(why, -ENOMEM, "out of memory");
	tls_why(why, 0, "%s", "");
	SSL_CTX_set_tlsext_servername_callback(made->ssl_ctx, accept_name);
	err = set_min_version(made, params->min_version, why);
	if (!err)
		err = tls_suites_set(made->ssl_ctx, params, why);
	if (!err)
		err = set_alpn(made, params->alpn, why);
	if (!err)
		err = load_server(made, params, why);
	if (!err)
		err = set_id(made, params, why);
	if (!err)
		err = set_resumption(made, params, why);
	if (!err)
		err = set_keylog(made, params->keylog_file, params->kernel, why);
	return ctx_finish(ctx, made, err);
}

static int accept_any(X509_STORE_CTX *store, void *arg)
{
	return 1;
}

static int set_trust(struct tls_ctx *ctx, const struct tls_client_params *params, char *why)
{
	if (params->insecure) {
		/* Not just SSL_VERIFY_NONE, which builds the chain and then ignores what it found. */
		SSL_CTX_set_cert_verify_callback(ctx->ssl_ctx, accept_any, NULL);
		return 0;
	}
	SSL_CTX_set_verify(ctx->ssl_ctx, SSL_VERIFY_PEER, NULL);
	if (params->ca_file && SSL_CTX_load_verify_file(ctx->ssl_ctx, params->ca_file) != 1)
		return tls_why_file(why, params->ca_file, "certificate");
	if (!params->ca_file && SSL_CTX_set_default_verify_paths(ctx->ssl_ctx) != 1)
		return tls_why(why, -ENOMEM, "out of memory");
	return 0;
}

/* Called by OpenSSL on clients; 1 keeps the reference. The BIO knows the session: no ex_data is needed. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *tls = BIO_get_data(SSL_get_rbio(ssl));

	SSL_SESSION_free(tls->newest);
	tls->newest = session;
	return 1;
}

int tls_ctx_client(struct tls_ctx **ctx, const struct tls_client_params *params, char *why)
{
	struct tls_ctx *made = ctx_create(TLS_client_method(), false);
	int err;

	if (!made)
		return tls_why(why, -ENOMEM, "out of memory");
	tls_why(why, 0, "%s", "");
	SSL_CTX_set_session_cache_mode(made->ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(made->ssl_ctx, on_new_session);
	err = set_min_version(made, params->min_version, why);
	if (!err)
		err = set_alpn(made, params->alpn, why);
	if (!err)
		err = set_trust(made, params, why);
	if (!err && params->cert_file)
		err = load_pair(made, params->cert_file, params->key_file, why);
	if (!err)
		err = set_keylog(made, params->keylog_file, params->kernel, why);
	return ctx_finish(ctx, made, err);
}

bool tls_ctx_allows_kernel(const struct tls_ctx *ctx)
{
	return ctx->kernel != TLS_KERNEL_NO;
}

bool tls_ctx_forget(struct tls_ctx *ctx)
{
	if (!ctx || !SSL_CTX_sess_number(ctx->ssl_ctx))
		return false;
#if OPENSSL_VERSION_PREREQ(3, 4)
	SSL_CTX_flush_sessions_ex(ctx->ssl_ctx, 0); /* 0: all of them, expired or not */
#else
	SSL_CTX_flush_sessions(ctx->ssl_ctx, 0);
#endif
	return true;
}

struct tls_ctx *tls_ctx_get(struct tls_ctx *ctx)
{
	atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
	return ctx;
}

/* The acquire half: the last one sees what the others did before they dropped their references. */
void tls_ctx_put(struct tls_ctx *ctx)
{
	if (!ctx || atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(ctx->ssl_ctx);
	BIO_meth_free(ctx->bio);
	tls_ticket_keys_put(ctx->ticket_keys);
	tls_certs_put(ctx->certs);
	if (ctx->keylog_fd >= 0)
		close(ctx->keylog_fd);
	free(ctx);
}
