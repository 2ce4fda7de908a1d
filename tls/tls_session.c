/* SPDX-License-Identifier: MIT */
/*
 * Sessions: OpenSSL's calls and error codes as the steps of tls.h. Called on the thread that has the
 * session at the time, by whoever moves its bytes.
 *
 * Invariants: held output goes out before anything new is produced; a failed session stays failed, and its
 * calls only flush the alert; OpenSSL's error queue is empty on return.
 */
#include "tls_bio.h"
#include "tls_error.h"
#include "tls_int.h"
#include "tls_kernel.h"
#include "tls_trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With more held than this, nothing is read: the peer does not read what we send. More than tls_write() ever
 * holds. */
#define HELD_MAX 4096

/* The room at the end of io->out is not worth a record with less than this. */
#define RECORD_WORTH 1024

struct tls_ticket {
	SSL_SESSION *session;
	struct tls_ctx *ctx;
};

static struct tls *session_create(struct tls_ctx *ctx)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	BIO *bio;

	if (!tls)
		return NULL;
	tls->ssl = SSL_new(ctx->ssl_ctx);
	if (!tls->ssl)
		goto free_tls;
	bio = BIO_new(ctx->bio);
	if (!bio)
		goto free_ssl;
	BIO_set_data(bio, tls);
	SSL_set_bio(tls->ssl, bio, bio);
	tls->ctx = tls_ctx_get(ctx);
	if (ctx->kernel != TLS_KERNEL_NO) {
		SSL_set_msg_callback(tls->ssl, tls_kernel_note_message);
		SSL_set_msg_callback_arg(tls->ssl, tls);
	}
	return tls;

free_ssl:
	SSL_free(tls->ssl);
free_tls:
	free(tls);
	ERR_clear_error();
	return NULL;
}

struct tls *tls_accept(struct tls_ctx *ctx)
{
	struct tls *tls = session_create(ctx);

	if (tls)
		SSL_set_accept_state(tls->ssl);
	return tls;
}

static bool is_address(const char *host)
{
	unsigned char addr[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

/* RFC 6066, 3: the name goes without a trailing dot, and addresses are not sent. */
static int set_host(SSL *ssl, const char *text)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	char host[256];
	size_t len = strlen(text);
	char *zone;

	if (!len || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len + 1);
	zone = strchr(host, '%');
	if (zone)
		*zone = '\0';
	if (is_address(host))
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ? 0 : -ENOMEM;
	if (len > 1 && host[len - 1] == '.')
		host[len - 1] = '\0';
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (X509_VERIFY_PARAM_set1_host(param, host, 0) != 1)
		return -ENOMEM;
	return SSL_set_tlsext_host_name(ssl, host) == 1 ? 0 : -ENOMEM;
}

struct tls *tls_connect(struct tls_ctx *ctx, const char *host)
{
	struct tls *tls = session_create(ctx);

	if (!tls)
		return NULL;
	SSL_set_connect_state(tls->ssl);
	if (!set_host(tls->ssl, host))
		return tls;
	tls_free(tls);
	return NULL;
}

/*
 * A session that ends without close_notify may still be resumed (RFC 5246, 7.2.1), so OpenSSL is told that
 * both sides have closed; otherwise it would remove the session from the cache. A failed one must be removed.
 */
void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	if (!tls->failed)
		SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(tls->ssl);
	SSL_SESSION_free(tls->newest);
	tls_ctx_put(tls->ctx);
	free(tls->held);
	free(tls->why);
	free(tls->refused);
	OPENSSL_cleanse(tls->records, sizeof(tls->records));
	free(tls);
	ERR_clear_error();
}

/* True: the call may go on into OpenSSL. An error that other code on this thread left there is not ours. */
static bool session_enter(struct tls *tls, struct tls_io *io)
{
	tls_bio_flush(tls, io);
	if (tls->failed)
		return false;
	if (ERR_peek_error())
		ERR_clear_error();
	tls->io = io;
	return true;
}

static enum step session_more(const struct tls *tls)
{
	return tls->held ? STEP_BLOCKED : STEP_MORE;
}

static enum step session_failed(struct tls *tls)
{
	tls->failed = true;
	tls->why = tls_why_session(tls);
	return STEP_FAILED;
}

/* The result of a call into OpenSSL that did not succeed. WANT_WRITE cannot be: see tls_bio.c. */
static enum step session_result(struct tls *tls, int ret)
{
	switch (SSL_get_error(tls->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return session_more(tls);
	case SSL_ERROR_ZERO_RETURN:
		tls->closed = true;
		return STEP_CLOSED;
	default:
		return session_failed(tls);
	}
}

static void keep_start(struct tls *tls, const struct tls_io *io)
{
	size_t room = sizeof(tls->start) - tls->start_len;
	size_t len = io->in_len < room ? io->in_len : room;

	if (!len)
		return;
	memcpy(tls->start + tls->start_len, io->in, len);
	tls->start_len = (unsigned char)(tls->start_len + len);
}

enum step tls_handshake(struct tls *tls, struct tls_io *io)
{
	int ret;

	if (!session_enter(tls, io))
		return STEP_FAILED;
	if (tls->held)
		return STEP_BLOCKED;
	keep_start(tls, io);
	ret = SSL_do_handshake(tls->ssl);
	if (ret != 1)
		return session_result(tls, ret);
	ERR_clear_error();
	return STEP_DONE;
}

enum step tls_read(struct tls *tls, struct tls_io *io, void *plain, size_t cap, size_t *n)
{
	*n = 0;
	if (!session_enter(tls, io))
		return STEP_FAILED;
	if (tls->closed)
		return STEP_CLOSED;
	/* OpenSSL would take a record buffer only to give it back. */
	if (!io->in_len && !SSL_pending(tls->ssl))
		return session_more(tls);
	if (tls_held(tls) > HELD_MAX)
		return STEP_BLOCKED;
	if (SSL_read_ex(tls->ssl, plain, cap, n) == 1)
		return STEP_DONE;
	*n = 0;
	return session_result(tls, 0);
}

/*
 * How much to encrypt now: what fits in io->out as one record, or 0 to send that first. A buffer that is
 * empty and still too small gets a small record, the rest of which is held.
 */
static size_t record_len(const struct tls_io *io, size_t len)
{
	size_t room = io->out_cap - io->out_len;
	size_t want = len < TLS_RECORD_PLAIN ? len : TLS_RECORD_PLAIN;

	if (room >= want + TLS_RECORD_EXTRA)
		return want;
	if (room >= RECORD_WORTH + TLS_RECORD_EXTRA)
		return room - TLS_RECORD_EXTRA;
	if (io->out_len || !room)
		return 0;
	return want < RECORD_WORTH ? want : RECORD_WORTH;
}

enum step tls_write(struct tls *tls, struct tls_io *io, const void *plain, size_t len, size_t *n)
{
	*n = 0;
	if (!session_enter(tls, io))
		return STEP_FAILED;
	len = tls->held ? 0 : record_len(io, len);
	if (!len)
		return STEP_BLOCKED;
	if (SSL_write_ex(tls->ssl, plain, len, n) == 1)
		return STEP_DONE;
	*n = 0;
	return session_result(tls, 0);
}

/* Before the handshake is done there is nothing to close; OpenSSL would return an error. */
enum step tls_shutdown(struct tls *tls, struct tls_io *io)
{
	int ret = 0;

	if (!session_enter(tls, io))
		return STEP_FAILED;
	if (tls->held)
		return STEP_BLOCKED;
	if (SSL_is_init_finished(tls->ssl) && !(SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN))
		ret = SSL_shutdown(tls->ssl);
	if (ret < 0)
		return session_failed(tls);
	return tls->held ? STEP_BLOCKED : STEP_DONE;
}

bool tls_has_output(const struct tls *tls)
{
	return tls->held;
}

bool tls_has_input(const struct tls *tls)
{
	return SSL_pending(tls->ssl) > 0;
}

/* Of a record whose body is to come OpenSSL has the header alone, in no buffer, but in its state. */
bool tls_is_between_records(const struct tls *tls)
{
	return !SSL_has_pending(tls->ssl) && !strcmp(SSL_rstate_string(tls->ssl), "RH");
}

static void client_info(const struct tls *tls, struct tls_info *info)
{
	X509 *cert = tls->ctx->is_server ? SSL_get0_peer_certificate(tls->ssl) : NULL;

	info->client_name[0] = '\0';
	info->has_client_cert = cert && SSL_get_verify_result(tls->ssl) == X509_V_OK;
	if (info->has_client_cert)
		tls_trust_common_name(cert, info->client_name, sizeof(info->client_name));
}

void tls_info(const struct tls *tls, struct tls_info *info)
{
	const char *cipher = SSL_get_cipher_name(tls->ssl);
	const char *name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
	const unsigned char *alpn = NULL;
	unsigned int len = 0;

	SSL_get0_alpn_selected(tls->ssl, &alpn, &len);
	if (len >= sizeof(info->alpn))
		len = sizeof(info->alpn) - 1;
	if (len)
		memcpy(info->alpn, alpn, len);
	info->alpn[len] = '\0';
	info->version = SSL_get_version(tls->ssl);
	info->cipher = cipher ? cipher : "";
	info->server_name = name ? name : "";
	info->resumed = SSL_session_reused(tls->ssl);
	client_info(tls, info);
}

const char *tls_missed_staple(const struct tls *tls)
{
	return tls->missed_staple;
}

bool tls_is_http(const struct tls *tls)
{
	return tls->is_http;
}

bool tls_is_untrusted(const struct tls *tls)
{
	return tls->is_untrusted;
}

const char *tls_error(const struct tls *tls)
{
	if (!tls->failed)
		return "";
	return tls->why ? tls->why : "out of memory";
}

/* A resumption of TLS 1.2 may bring no new ticket; the old one stays valid. */
static SSL_SESSION *newest_session(struct tls *tls)
{
	SSL_SESSION *session = tls->newest;

	if (!session && SSL_session_reused(tls->ssl) && SSL_version(tls->ssl) < TLS1_3_VERSION)
		session = SSL_get0_session(tls->ssl);
	return session && SSL_SESSION_is_resumable(session) ? session : NULL;
}

struct tls_ticket *tls_ticket_get(struct tls *tls)
{
	SSL_SESSION *session = newest_session(tls);
	struct tls_ticket *ticket;

	if (!session)
		return NULL;
	ticket = malloc(sizeof(*ticket));
	if (!ticket)
		return NULL;
	SSL_SESSION_up_ref(session);
	ticket->session = session;
	ticket->ctx = tls_ctx_get(tls->ctx);
	return ticket;
}

/* A resumption does not verify anything again: a ticket must not reach a context that trusts other peers. */
int tls_resume(struct tls *tls, struct tls_ticket *ticket)
{
	if (ticket->ctx != tls->ctx)
		return -EINVAL;
	if (SSL_set_session(tls->ssl, ticket->session) == 1)
		return 0;
	ERR_clear_error();
	return -EINVAL;
}

void tls_ticket_free(struct tls_ticket *ticket)
{
	if (!ticket)
		return;
	SSL_SESSION_free(ticket->session);
	tls_ctx_put(ticket->ctx);
	free(ticket);
}
