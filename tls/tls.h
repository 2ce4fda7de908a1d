/* SPDX-License-Identifier: MIT */
/*
 * TLS 1.2 and 1.3 as bytes in, bytes out: no file descriptors, watchers or operations here. The caller reads
 * ciphertext from the network, passes it in a struct tls_io, and sends what it finds in io->out.
 * Only tls/ includes OpenSSL. A context may be shared by threads; a session is used by one at a time.
 */
#ifndef TLS_H
#define TLS_H

#include "base/step.h"

#include <stdbool.h>
#include <stddef.h>

struct tls_certs;
struct tls_ctx;
struct tls_ticket_keys;
struct tls;

#define TLS_WHY_LEN 256

enum tls_kernel_use {
	TLS_KERNEL_NO,
	TLS_KERNEL_AUTO, /* where nothing is lost: of TLS 1.3 only if the kernel can change keys (6.14) */
	TLS_KERNEL_YES,	 /* a peer that changes keys ends its connection where the kernel cannot */
};

/*
 * Has the memory that OpenSSL allocates counted (CRYPTO_set_mem_functions(3)), from the first byte on: call
 * it before anything else here. False: it has allocated some already, and nothing is counted.
 */
bool tls_memory_count(void);
/* In bytes, up to 16 KiB more or less for each thread. Any thread. */
size_t tls_memory(void);

struct tls_server_params {
	/* PEM, chain included; NULL: see certs. Beside NAME.crt or NAME.pem may be NAME.ocsp, the OCSP
	 * response (DER) that goes with it. */
	const char *cert_file;
	const char *key_file; /* PEM; NULL: the key is in cert_file */
	/* By SNI, the context gets a reference; NULL: none. Without cert_file, its first is what clients get
	 * that ask for no name, or one that is not there. */
	struct tls_certs *certs;
	const char *min_version; /* "1.2" (default) or "1.3" */
	/* In OpenSSL's syntax; NULL: AEAD with forward secrecy. Checked by tls_check_ciphers() and so on. */
	const char *ciphers;	  /* of TLS 1.2 */
	const char *ciphersuites; /* of TLS 1.3 */
	const char *groups;	  /* of key exchange */
	/* Who signs the certificates of clients, PEM; NULL: clients are asked for none. */
	const char *client_ca;
	const char *client_crl; /* revocation lists, PEM: then one of each authority is needed; NULL: none */
	bool client_optional;	/* a client without a certificate is served, too; a bad one is not */
	const char *alpn; /* protocols spoken, the preferred first: "http/1.1,h2"; NULL: ALPN is ignored */
	const char *keylog_file;	     /* NSS key log for debugging; NULL: none */
	enum tls_kernel_use kernel;	     /* whether sessions are given to it: tls_kernel_start() */
	struct tls_ticket_keys *ticket_keys; /* the context gets a reference; NULL: its own, made at random */
	bool no_tickets;		     /* all sessions are in the context's cache, not in tickets */
	unsigned int cache_sessions;	     /* 0: there is no cache */
};

struct tls_client_params {
	const char *ca_file;   /* PEM, one or more; NULL: the system's store */
	bool insecure;	       /* do not verify the peer */
	const char *cert_file; /* PEM, chain included: what a server that asks for it gets; NULL: nothing */
	const char *key_file;  /* PEM; NULL: the key is in cert_file */
	const char *alpn;      /* protocols offered, as above */
	const char *min_version;
	const char *keylog_file;
	enum tls_kernel_use kernel;
};

/*
 * On failure -errno (-EINVAL for bad material) and one line in why[TLS_WHY_LEN], which may be NULL: the file,
 * what is wrong with it (a key that does not match its certificate: both files), what to do. On success
 * why is empty, or a warning: an expired certificate is still served, an OCSP response that is bad is not
 * sent. Contexts are counted:
 * a session holds one reference. Early data (0-RTT) is never accepted.
 *
 * A client that offers ALPN protocols but none of the server's is refused with alert no_application_protocol
 * (RFC 7301, 3.2); one that offers none at all is served.
 */
int tls_ctx_server(struct tls_ctx **ctx, const struct tls_server_params *params, char *why);
int tls_ctx_client(struct tls_ctx **ctx, const struct tls_client_params *params, char *why);
/*
 * Forgets the sessions in its cache, which make their next handshakes in full. False: there are none. NULL is
 * allowed. Any thread.
 */
bool tls_ctx_forget(struct tls_ctx *ctx);
struct tls_ctx *tls_ctx_get(struct tls_ctx *ctx);
void tls_ctx_put(struct tls_ctx *ctx);

/* Of lists of ciphers and groups: 0, or -EINVAL with what is wrong in why[TLS_WHY_LEN]. No name may be
 * unknown.
 */
int tls_check_ciphers(const char *list, char *why);
int tls_check_ciphersuites(const char *list, char *why);
int tls_check_groups(const char *list, char *why);

/* The files client_ca and client_crl (or NULL), for those who have no certificate yet. As tls_ctx_server().
 */
int tls_check_clients(const char *ca_file, const char *crl_file, char *why);

/*
 * The certificates of a directory, from which a context chooses by the name that a client asks for (SNI): an
 * exact name goes before a wildcard, which stands for one label. Of several for a name, one for each type of
 * key is kept, that which is valid longest; ECDSA goes before RSA with clients that take both. Files are
 * NAME.pem and NAME.crt with a chain of certificates; the key is in NAME.key, in NAME.pem.key, or in the file
 * itself; the OCSP response in NAME.ocsp. Others, and those that start with a dot, are not looked at.
 *
 * Each file is judged by itself: @report, which may be NULL, gets a line for each that is bad, and warnings
 * about others. In the place of a bad one @from (NULL: none), the set of the same directory before, gives
 * what it had of that file. -errno and why: the directory cannot be read, or nothing in it can be used.
 * Counted; any thread may put it.
 */
typedef void tls_certs_report(void *arg, bool is_bad, const char *line);
int tls_certs_load(struct tls_certs **certs, const char *dir, const struct tls_certs *from,
		   tls_certs_report *report, void *arg, char *why);
const char *tls_certs_dir(const struct tls_certs *certs);
struct tls_certs *tls_certs_get(struct tls_certs *certs);
void tls_certs_put(struct tls_certs *certs);

/*
 * Writes a new P-256 key (mode 0600) and a self-signed certificate for @host (plus localhost, 127.0.0.1 and
 * ::1 as subjectAltName), valid @days days. Each file appears atomically; existing ones are -EEXIST.
 */
int tls_self_signed(const char *cert_file, const char *key_file, const char *host, unsigned int days,
		    char *why);

/*
 * Keys of session tickets (RFC 5077; RFC 8446, 4.6.1). Contexts that share them resume each other's sessions
 * if their certificates have the same names and they speak the same protocols. Counted; used by any thread.
 * The first key encrypts, all decrypt; a session resumed by another than the first gets a new ticket.
 *
 * Sessions of TLS 1.2 clients without tickets, or all without tickets, are in a cache of the context, which
 * they do not outlive: of params.cache_sessions, each about 1 KiB.
 */
#define TLS_TICKET_LIFETIME_S (2 * 60 * 60)

/* Made at random. To be rotated every TLS_TICKET_LIFETIME_S: a ticket is valid for its life then. */
int tls_ticket_keys_random(struct tls_ticket_keys **keys, char *why);
/* A new key encrypts, and the one that did so still decrypts. 0, or -EIO and all is as it was. */
int tls_ticket_keys_rotate(struct tls_ticket_keys *keys);

/*
 * One key from each of @n files (1 or more): 80 random bytes, or 48 for AES-128, as nginx's
 * ssl_session_ticket_key. Errors as those of tls_ctx_server(); -EPERM: others may read or write it.
 */
#define TLS_TICKET_KEY_256 80
#define TLS_TICKET_KEY_128 48
int tls_ticket_keys_load(struct tls_ticket_keys **keys, char *const *files, size_t n, char *why);

/* Keys made at random, for another process: as data[TLS_TICKET_KEYS_LEN], and back. tls_ticket_keys_take() is
 * 0, or -ENOMEM with a line in why[TLS_WHY_LEN]. */
#define TLS_TICKET_KEYS_LEN (2 * TLS_TICKET_KEY_256)
void tls_ticket_keys_give(struct tls_ticket_keys *keys, unsigned char *data);
int tls_ticket_keys_take(struct tls_ticket_keys **keys, const unsigned char *data, char *why);

struct tls_ticket_keys *tls_ticket_keys_get(struct tls_ticket_keys *keys);
/* The last reference cleanses them; NULL is allowed. */
void tls_ticket_keys_put(struct tls_ticket_keys *keys);

/* The maximum plaintext of a record, and what it adds at most: header, explicit nonce, content type, tag. */
#define TLS_RECORD_PLAIN (16 * 1024)
#define TLS_RECORD_EXTRA (5 + 8 + 1 + 16)

/*
 * Input and output of one call. The session consumes from in/in_len and appends to out/out_len, up to
 * out_cap; the caller keeps what was not consumed and offers it again. The spans need not outlive the call.
 */
struct tls_io {
	const unsigned char *in;
	size_t in_len;
	unsigned char *out;
	size_t out_len;
	size_t out_cap;
};

/*
 * Every call returns an enum step (base/step.h):
 *	STEP_DONE	the call did what it was asked to do
 *	STEP_MORE	it needs more input from the peer; all input was consumed
 *	STEP_BLOCKED	io->out is full: send it, then call again
 *	STEP_CLOSED	the peer's close_notify has arrived; tls_write() still works
 *	STEP_FAILED	fatal and permanent; an alert may be in io->out; tls_error() says why
 *
 * Whatever a call returns, send io->out_len bytes: an alert, a key update, or output that an earlier call
 * held back. The caller has to detect the end of input without close_notify and decide what it means (a
 * truncation, RFC 8446, 6.1); the session never sees it.
 */

/* Server session. NULL: no memory. */
struct tls *tls_accept(struct tls_ctx *ctx);
/*
 * Client session; the certificate must be valid for @host, a name or an IP address without brackets. A name
 * is sent as SNI. NULL: no memory, or @host is empty or longer than a name can be.
 */
struct tls *tls_connect(struct tls_ctx *ctx, const char *host);
void tls_free(struct tls *tls);

/* STEP_DONE: reading and writing may begin. Input after the handshake stays in io->in for tls_read(). */
enum step tls_handshake(struct tls *tls, struct tls_io *io);

/*
 * STEP_DONE with 1..cap bytes in *n, from one record, never with none; *n is 0 with every other result.
 * io->out may have no room (a write is in flight): reading continues, and responses to key updates are held.
 * STEP_BLOCKED instead of STEP_MORE means that something is held and has to be sent; once too much is held
 * (4 KiB: the peer does not read), nothing more is read.
 */
enum step tls_read(struct tls *tls, struct tls_io *io, void *plain, size_t cap, size_t *n);

/*
 * STEP_DONE: *n bytes (1..len) were encrypted into io->out or into what the next call puts there first. They
 * are taken: never offer them again. Each call writes one record, up to 16 KiB and as large as io->out has
 * room for; io->out should hold at least 1 KiB. STEP_BLOCKED: nothing was taken, and any other bytes may come
 * next.
 * @len is not 0. STEP_MORE and STEP_CLOSED do not happen.
 */
enum step tls_write(struct tls *tls, struct tls_io *io, const void *plain, size_t len, size_t *n);

/* Sends close_notify, once; does not wait for the peer's. Sends nothing before the handshake is done. */
enum step tls_shutdown(struct tls *tls, struct tls_io *io);

/*
 * Ciphertext is held because io->out was full; the next call with room flushes it, also after STEP_DONE,
 * STEP_CLOSED and STEP_FAILED. It is no more than a record of 1 KiB, or one flight of a handshake.
 */
bool tls_has_output(const struct tls *tls);

/* Decrypted bytes are waiting for tls_read(); it need not wait for the network. */
bool tls_has_input(const struct tls *tls);

/* Nothing has been consumed of a record that is not here yet as a whole. */
bool tls_is_between_records(const struct tls *tls);

/*
 * After the handshake: "TLSv1.3", the cipher, the negotiated ALPN protocol or "", the name that the client
 * asked for (SNI) or "", whether it was resumed; of a client that has shown a certificate, which was
 * verified, its common name or "". The pointers live as long as the session.
 */
#define TLS_CLIENT_NAME_LEN 256

struct tls_info {
	const char *version;
	const char *cipher;
	const char *server_name;
	char alpn[32];
	char client_name[TLS_CLIENT_NAME_LEN];
	bool resumed, has_client_cert;
};
void tls_info(const struct tls *tls, struct tls_info *info);

/*
 * The file of the OCSP response that the client has asked for and not got, as it has expired since it was
 * read, if this session is the first to find out; otherwise NULL. Lives as long as @tls.
 */
const char *tls_missed_staple(const struct tls *tls);

/* One line about the failure, "" if there was none; lives as long as @tls. */
const char *tls_error(const struct tls *tls);

/*
 * The session has failed because the peer sent an HTTP request without TLS: a plain response may be sent to
 * it in the place of the alert.
 */
bool tls_is_http(const struct tls *tls);

/* A server's session has failed for its client's certificate: a bad one, or none where one is required. */
bool tls_is_untrusted(const struct tls *tls);

/*
 * Gives an established session to the kernel (TCP_ULP): from then on @fd reads and writes plain bytes. All
 * input of the session must have been consumed, up to the end of a record (tls_is_between_records()), and all
 * its output sent, with no operation under way on @fd.
 * On success @tls is to be freed, and *kernel is the caller's. -EOPNOTSUPP and -ENOMEM: kernel, cipher or
 * context do not allow it, and nothing has changed. Other errors: the socket is of no further use.
 */
struct tls_kernel;
bool tls_ctx_allows_kernel(const struct tls_ctx *ctx); /* as its params say */
int tls_kernel_start(struct tls_kernel **kernel, struct tls *tls, int fd);
void tls_kernel_free(struct tls_kernel *kernel); /* NULL is allowed */

/*
 * A read of @fd has failed with EIO: what is next is not data. Takes that record. STEP_MORE: read on;
 * STEP_CLOSED: the peer's close_notify; STEP_FAILED: it was an alert, or a record that ends the session, and
 * *why, a constant, says which.
 */
enum step tls_kernel_record(struct tls_kernel *kernel, int fd, const char **why);

/* Sends close_notify, without waiting: 0 or -errno, -EAGAIN if there is no room. */
int tls_kernel_shutdown(int fd);

/*
 * Resumption on the client: the newest session ticket received on @tls (NULL if none), to be passed to
 * tls_resume() before the handshake of another session; the caller frees it. TLS 1.3 servers send it after
 * the handshake: it has arrived once tls_read() has consumed what came with the first response. A ticket may
 * be used more than once, for the same host and the same context: a resumption does not verify anything
 * again. tls_resume() returns -EINVAL for a ticket of another context.
 */
struct tls_ticket;
struct tls_ticket *tls_ticket_get(struct tls *tls);
int tls_resume(struct tls *tls, struct tls_ticket *ticket);
void tls_ticket_free(struct tls_ticket *ticket);

#endif
