/* SPDX-License-Identifier: MIT */
/*
 * TLS 1.2 and 1.3 as bytes in, bytes out: no file descriptor, no watcher, no operation is known here. The
 * caller reads ciphertext from the network, passes it in a struct tls_io, and sends what lands in io->out.
 * Only tls/ includes OpenSSL. A context may be shared by threads; a session belongs to one.
 */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>

struct tls_ctx;
struct tls;

#define TLS_WHY_LEN 256

struct tls_server_params {
	const char *cert_file;	 /* PEM, chain included */
	const char *key_file;	 /* PEM; NULL: the key is in cert_file */
	const char *min_version; /* "1.2" (default) or "1.3" */
	const char *alpn;	 /* protocols offered, comma-separated: "http/1.1"; NULL: ALPN is ignored */
	const char *keylog_file; /* NSS key log for debugging; NULL: none */
};

struct tls_client_params {
	const char *ca_file; /* NULL: the system's store */
	bool insecure;	     /* do not verify the peer */
	const char *alpn;
	const char *min_version;
	const char *keylog_file;
};

/*
 * On failure -errno (-EINVAL for bad material) and one line in why[TLS_WHY_LEN]: the file, what is wrong with
 * it (a key that does not match its certificate names both files), what to do. Contexts are counted:
 * a session holds one reference.
 */
int tls_ctx_server(struct tls_ctx **ctx, const struct tls_server_params *params, char *why);
int tls_ctx_client(struct tls_ctx **ctx, const struct tls_client_params *params, char *why);
struct tls_ctx *tls_ctx_get(struct tls_ctx *ctx);
void tls_ctx_put(struct tls_ctx *ctx);

/*
 * Writes a new P-256 key (mode 0600) and a self-signed certificate for @host (plus localhost, 127.0.0.1 and
 * ::1 as subjectAltName), valid @days days. Each file appears atomically; existing ones are -EEXIST.
 */
int tls_self_signed(const char *cert_file, const char *key_file, const char *host, unsigned int days,
		    char *why);

/*
 * One direction's spans for one call. The session consumes from in/in_len and appends to out/out_len (at most
 * out_cap); the caller keeps what was not consumed and offers it again. Spans need not stay after the call.
 */
struct tls_io {
	const unsigned char *in;
	size_t in_len;
	unsigned char *out;
	size_t out_len;
	size_t out_cap;
};

enum tls_result {
	TLS_DONE,   /* the call did what it was asked */
	TLS_MORE,   /* needs more input from the peer */
	TLS_FULL,   /* io->out is full: send it, then call again */
	TLS_CLOSED, /* the peer's close_notify has arrived */
	TLS_FAILED, /* fatal; an alert may be in io->out; tls_error() says why */
};

/* Server session. NULL: no memory. */
struct tls *tls_accept(struct tls_ctx *ctx);
/* Client session; @host goes into SNI and is what the certificate must be for (a name or an IP address). */
struct tls *tls_connect(struct tls_ctx *ctx, const char *host);
void tls_free(struct tls *tls);

enum tls_result tls_handshake(struct tls *tls, struct tls_io *io);

/* TLS_DONE with 1..cap bytes in *n. Never TLS_DONE with none. *n is 0 with every other result. */
enum tls_result tls_read(struct tls *tls, struct tls_io *io, void *plain, size_t cap, size_t *n);

/* TLS_DONE: *n bytes (1..len) were encrypted into io->out or into what the next call puts there first. */
enum tls_result tls_write(struct tls *tls, struct tls_io *io, const void *plain, size_t len, size_t *n);

/* Sends close_notify; does not wait for the peer's. */
enum tls_result tls_shutdown(struct tls *tls, struct tls_io *io);

/* Ciphertext that OpenSSL still holds because io->out was full; flushed by the next call with room. */
bool tls_has_output(const struct tls *tls);

/* Decrypted bytes that wait inside for tls_read(); reading need not wait for the network. */
bool tls_has_input(const struct tls *tls);

/* "TLSv1.3", the negotiated ALPN protocol or "", whether the session was resumed, and the cipher. */
struct tls_info {
	const char *version;
	const char *cipher;
	char alpn[32];
	bool resumed;
};
void tls_info(const struct tls *tls, struct tls_info *info);

/* One line about the last TLS_FAILED; lives until the next call on @tls. */
const char *tls_error(const struct tls *tls);

/*
 * Client side resumption: the newest session ticket got on @tls (NULL if none), to be given to
 * tls_resume() before the handshake of another; the caller frees it.
 */
struct tls_ticket;
struct tls_ticket *tls_ticket_get(struct tls *tls);
int tls_resume(struct tls *tls, struct tls_ticket *ticket);
void tls_ticket_free(struct tls_ticket *ticket);

#endif
