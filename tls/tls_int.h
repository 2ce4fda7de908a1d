/* SPDX-License-Identifier: MIT */
/*
 * What the files of tls/ share. Nothing outside tls/ and its test includes this, so that OpenSSL's headers
 * stay here.
 *
 * Invariant: OpenSSL's error queue is empty between calls. Whoever finds an error there turns it into one
 * line and clears it, so that no session ever reports another session's error.
 */
#ifndef TLS_INT_H
#define TLS_INT_H

#include "tls.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdatomic.h>

#define ALPN_MAX 255

#define TLS_ID_LEN (SSL_MAX_SID_CTX_LENGTH / 2)

/* Read-only once built, except for the count and what OpenSSL locks itself. */
struct tls_ctx {
	SSL_CTX *ssl_ctx;
	BIO_METHOD *bio;
	atomic_uint refs;
	int keylog_fd;
	struct tls_ticket_keys *ticket_keys; /* NULL: OpenSSL makes its own, of this context */
	struct tls_certs *certs;	     /* to choose from by SNI; NULL: all get the same */
	unsigned char id[TLS_ID_LEN]; /* server: what sessions are made under, but for the certificate */
	bool is_server;
	enum tls_kernel_use kernel; /* unless NO, its sessions note their keys */
	unsigned char alpn_len;
	unsigned char alpn[ALPN_MAX]; /* as on the wire: length, name, length, name */
};

/* Ciphertext for which io->out had no room: data[begin..end). */
struct held {
	size_t begin, end, cap;
	unsigned char data[];
};

/* A secret of TLS 1.3 from which the keys of one direction are made; no length: not known. */
struct tls_secret {
	uint8_t len;
	unsigned char bytes[48];
};

/* The header of a record. */
#define TLS_START_LEN 5

struct tls {
	SSL *ssl;
	struct tls_ctx *ctx;
	struct tls_io *io;   /* the caller's, during a call into OpenSSL */
	struct held *held;   /* NULL: none */
	SSL_SESSION *newest; /* client: last ticket received */
	char *why;	     /* NULL unless failed, or no memory for the line */
	bool closed;	     /* close_notify has arrived */
	bool failed;
	unsigned char start[TLS_START_LEN]; /* the first bytes of a peer that connected */
	unsigned char start_len;
	char *refused; /* server: the name in the client's certificate that is not trusted; NULL: none */
	const char *missed_staple; /* tls_missed_staple(); the session's certificate owns it */
	bool is_http;		   /* it failed as the peer speaks HTTP without TLS */
	bool is_untrusted;	   /* it failed for the client's certificate */
	/* If the context notes keys: what came in [0] and what went out [1]. */
	struct {
		struct tls_secret secret;
		uint64_t count; /* of records under the present key */
	} records[2];
	bool is_rekeyed; /* a key update has made another of the secrets */
};

/* Bytes of ciphertext waiting for room in io->out. */
static inline size_t tls_held(const struct tls *tls)
{
	return tls->held ? tls->held->end - tls->held->begin : 0;
}

#endif
