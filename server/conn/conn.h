/* SPDX-License-Identifier: MIT */
/*
 * A connection: its socket, its two operations, its buffers, its session. The state belongs to fsm.c and
 * advance.c, the operations to op.c and turn.c, the deadline to deadline.c, incoming bytes to input.c and
 * outgoing bytes to output.c, what a thread has of it to shake.c.
 *
 * References: one for the table, one for each operation in flight, and one for a step of the handshake that a
 * thread carries out. Dropping the last frees it (conn_put).
 */
#ifndef CONN_H
#define CONN_H

#include "aio/batch_op.h"
#include "base/addr.h"
#include "buf.h"
#include "group.h"
#include "server/access.h"
#include "server/reason.h"
#include "server/service.h"
#include "shard.h"
#include "tls.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum conn_state {
	CONN_CONNECT,	/* an outgoing connection is being made */
	CONN_PROXY,	/* the header of the PROXY protocol is read */
	CONN_HANDSHAKE, /* TLS handshake */
	CONN_AWAY,	/* a thread carries out a step of it, and has the session: see shake.h */
	CONN_SERVE,	/* bytes go to the service */
	CONN_FLUSH,	/* no more input; what is queued still goes out */
	CONN_LINGER,	/* the sending side is closed; the peer's last bytes are read and dropped */
	CONN_CLOSING,	/* operations are cancelled; waits for their completions */
	CONN_NSTATES
};

enum input_state {
	INPUT_OPEN,    /* the next bytes are read */
	INPUT_BLOCKED, /* nothing is read until output is sent, or the service is resumed */
	INPUT_ENDED,   /* the peer's last byte has arrived */
};

enum output_state {
	OUTPUT_OPEN,
	OUTPUT_ENDING, /* the sending side is closed once what is queued has been sent, and input goes on */
	OUTPUT_ENDED,
};

/* The kind of an operation, whose iocb.data is the connection, but for OP_PROBE, which is of none. All but
 * OP_READ share the write's op. */
enum op_kind { OP_READ, OP_WRITE, OP_FILE, OP_CONNECT, OP_ROOM, OP_PROBE };

/*
 * What a listener gives its connections; each worker has its own (server/endpoint.c). A reload replaces it if
 * the service, its words or its options have changed, and the connections that it has go on with it.
 */
struct endpoint {
	const struct service *service;
	void *site;
	const struct networks *accept_proxy; /* whence connections begin with a PROXY header; NULL: nowhere */
	double accept_rate;		     /* connections a second for each worker; 0: no limit */
	enum access_of access;		     /* what the access log tells */
	const char *listener;		     /* its address, for the access log */
	struct tally *tally; /* holds a reference; NULL: of outgoing ones, see peer_set_tally() */
	struct tls_ctx *tls; /* NULL: plain. Replaced on reload; sessions hold references of their own */
	const char *host;    /* of outgoing connections under TLS: the name that the certificate is for */
	unsigned int refs;   /* the acceptor's, and one of each connection */
	uint64_t ends_us;    /* its listener is gone: when what is left is cancelled; 0: it is there */
	void (*release)(struct endpoint *endpoint); /* called with the last reference gone */
};

static inline struct endpoint *endpoint_get(struct endpoint *endpoint)
{
	endpoint->refs++;
	return endpoint;
}

static inline void endpoint_put(struct endpoint *endpoint)
{
	if (--endpoint->refs == 0)
		endpoint->release(endpoint);
}

#define CONN_MAGIC	0x7a10c0feu
#define CONN_INLINE	320  /* read buffer inside an idle plain connection */
#define CONN_INLINE_TLS 1024 /* the same under TLS: most requests are one record */

/* What has moved since the deadline was last updated; see what restarts a timeout in timeout.h. */
enum { MOVED_NOTHING, MOVED_INPUT = 1, MOVED_OUTPUT = 2 };

struct conn {
	uint32_t magic;
	uint8_t state;		/* enum conn_state */
	uint8_t input;		/* enum input_state */
	uint8_t output;		/* enum output_state */
	uint8_t reason;		/* enum close_reason */
	uint8_t cancel_reason;	/* enum close_reason: why a cancel is under way */
	uint8_t deadline_class; /* enum deadline_class */
	uint8_t moved;		/* MOVED_*, or-ed */
	uint8_t asked;		/* enum close_reason: a session has asked for this end (peer_end) */
	bool is_woken;		/* it is in shard->woken */
	bool is_outgoing;
	bool is_relayed; /* its output comes from another connection */
	bool is_late;	 /* its deadline has passed: it is in shard->late */
	bool in_session; /* its session's input() runs */
	bool read_full;	 /* the last read filled its buffer: more may be waiting */
	uint8_t nlarge;	 /* reads in a row, counted up to 2, that brought more than the inline buffer holds */
	bool has_read;	 /* since the last look at what is borrowed to read into */
	bool rereads;	 /* the read is cancelled only to begin again, with the inline buffer */
	bool output_lost; /* out is to be cleared once the read of a file into it has ended */
	uint8_t looks;	  /* at what the peer takes, since it last took something */
	uint16_t inline_cap;
	uint32_t refs;
	int fd, afd;
	struct shard *shard;
	struct endpoint *endpoint; /* holds a reference */
	struct conn_group *group;  /* holds a reference; of an outgoing one, its opener's */
	struct tally *tally;	   /* holds a reference; its listener's, or its backend's; or NULL */
	LIST_ENTRY(conn) link;
	TAILQ_ENTRY(conn) deadline_link;
	STAILQ_ENTRY(conn) woken_link;
	struct watch *watch; /* deadline.c's; NULL: it is not looked at */
	uint64_t deadline_us;
	uint64_t opened_us;
	uint64_t id;		 /* from 1; no other of this worker has or had it */
	uint64_t moved_us;	 /* when bytes came or went last, or opened_us */
	uint64_t bytes_in, bytes_out;
	int err;		 /* -errno that has ended it, or 0 */
	uint64_t cancel_us;	 /* when the last cancel was requested */
	uint32_t cancel_took_us; /* from then to its completion */
	uint32_t taken;		 /* what the last look saw */
	struct op rd, wr;
	struct buf in;	  /* from the network: plain bytes, or ciphertext */
	struct buf plain; /* TLS: decrypted but not yet consumed */
	struct outq out;
	struct conn_tls tls;
	struct shake *shake; /* shake.c's; NULL: the session is the loop's */
	uint8_t *session;    /* in tail, followed by the inline buffer */
	union addr peer;     /* by its PROXY header, if there was one that says so */
	union addr *local;   /* where that says that the peer has connected to; NULL: our end of the socket */
	struct census_row *row; /* in which it is counted, or NULL */
	struct access_records records; /* access.c's */
	size_t records_size;	       /* bytes that these take */
	_Alignas(16) char tail[];
};

static inline void conn_check(const struct conn *c)
{
	assert(c->magic == CONN_MAGIC);
}

/* Whether it is for us to encrypt and decrypt: not if it is plain, and not if the kernel does. */
static inline bool conn_is_tls(const struct conn *c)
{
	return c->tls.session;
}

/* Whether its peer is to see close_notify. */
static inline bool conn_has_goodbye(const struct conn *c)
{
	return c->tls.session || c->tls.kernel;
}

/* The connection as its service's session sees it (peer.h). */
static inline struct peer *conn_peer(struct conn *c)
{
	return (struct peer *)c;
}

enum conn_origin { CONN_ACCEPTED, CONN_OUTGOING };

/*
 * On success the connection owns @fd and holds the table's reference; on failure (-ENOMEM, or an error of
 * taio_attach()) @fd is still the caller's. connect(2) has begun on the socket of an outgoing one.
 */
int conn_create(struct conn **conn, struct shard *shard, struct conn_group *group, struct endpoint *endpoint,
		enum conn_origin origin, int fd, const union addr *peer);
/* Whether connections from @peer begin with a PROXY header. */
bool conn_is_proxied(const struct endpoint *endpoint, const union addr *peer);

/* That one from @peer is refused for its address (-EDQUOT), or for lack of memory, is counted and logged. */
void conn_refused(struct shard *shard, struct tally *tally, const union addr *peer, int err);

void conn_get(struct conn *c);
void conn_put(struct conn *c);

/* Sets why @c ends; the first reason stays. */
void conn_set_reason(struct conn *c, enum close_reason reason);

/* The same, and returns STEP_FAILED for the step that has failed. */
static inline enum step conn_fail(struct conn *c, enum close_reason reason)
{
	conn_set_reason(c, reason);
	return STEP_FAILED;
}

/* The same for a call into TLS, which fails either for lack of memory or permanently. */
static inline enum step conn_fail_tls(struct conn *c)
{
	return conn_fail(c, c->tls.state == CONN_TLS_ENDED ? CLOSE_TLS : CLOSE_MEMORY);
}

/* User memory that this connection holds beyond its struct and its TLS session. */
size_t conn_memory(const struct conn *c);
/* These two. */
size_t conn_fixed_memory(const struct conn *c);
/*
 * What OpenSSL takes for a session is not known of each, only of all (tls_memory()). This is about what one
 * takes that is idle, and during its handshake.
 */
#define CONN_TLS_MEMORY	      (16 * 1024)
#define CONN_HANDSHAKE_MEMORY (48 * 1024)

/* The user memory of all connections of @shard, without OpenSSL's. */
size_t conn_memory_all(const struct shard *shard);
/* Buffers of @shard that are free. */
size_t conn_memory_kept(const struct shard *shard);
/*
 * Whether there is a max-memory, and the process takes more than it but for one part of @spare; 0: than all
 * of it. Free buffers count too, and so do the sessions that @tls has in its cache (NULL: none): both are
 * given back rather than exceed that.
 */
bool conn_memory_exceeds(struct shard *shard, struct tls_ctx *tls, unsigned int spare);
/* One part of max-memory, out of so many, is left to the connections that are there: new ones do not get it.
 */
#define CONN_MEMORY_SPARE 8
/* Tells, once a second at most, that there is no more memory for @what. */
void conn_memory_warn(struct shard *shard, const char *what);

/*
 * Whether @c holds more than it may: more than conn-memory, or, with all that max-memory allows in use, more
 * than its share, which is as large for each connection, unless its client is alone. So there is always one
 * whose end helps.
 */
bool conn_is_oversized(struct conn *c);

/* The read buffer is not the inline one. */
static inline bool conn_borrows(const struct conn *c)
{
	return c->in.cap > c->inline_cap;
}

/* Returns to the inline read buffer. The present one must be empty. */
void conn_shrink_input(struct conn *c);

const char *close_reason_name(enum close_reason reason);
const char *close_reason_text(enum close_reason reason);
bool close_reason_is_cancel(enum close_reason reason);

#endif
