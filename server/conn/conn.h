/* SPDX-License-Identifier: MIT */
/*
 * A connection: its socket, its two operations, its buffers, its session. The state word belongs to
 * conn_fsm.c, the operations to io.c, the deadline to idle.c, the output to out.c.
 *
 * References: one of the table, one of each operation in flight. The last one frees it (conn_put).
 */
#ifndef CONN_H
#define CONN_H

#include "base/addr.h"
#include "reason.h"
#include "server/outq.h"
#include "server/service.h"
#include "shard.h"
#include "tls/tls.h"

#include <assert.h>
#include <libaio.h>
#include <stdbool.h>
#include <stdint.h>

enum conn_state {
	CONN_SHAKE,   /* TLS handshake */
	CONN_SERVE,   /* bytes go to the service */
	CONN_FLUSH,   /* no more input; what is queued still goes out */
	CONN_LINGER,  /* sending side is closed; the peer's last bytes are read and dropped */
	CONN_CLOSING, /* operations are cancelled; waits for their completions */
	CONN_NSTATES
};

enum conn_event {
	EV_IN,	     /* read brought bytes */
	EV_EOF,	     /* read brought the end */
	EV_IN_ERR,   /* read failed */
	EV_OUT,	     /* write moved bytes */
	EV_OUT_ERR,  /* write failed */
	EV_FILE,     /* file read brought bytes */
	EV_FILE_ERR, /* file read failed or found the file shorter than promised */
	EV_GONE,     /* an operation came back cancelled */
	EV_DEADLINE, /* the deadline has passed; nothing was cancelled yet */
	EV_DRAIN,    /* the server stops: finish what is under way */
	EV_STOP,     /* the drain timeout has passed */
	EV_EVICT,    /* its place is needed */
	CONN_NEVENTS
};

/* What a listener gives its connections; each worker has its own (accept.c). */
struct endpoint {
	const struct service *service;
	void *site;
	struct tls_ctx *tls; /* NULL: plain. Replaced on reload; sessions hold their own reference */
};

enum op_kind { OP_READ, OP_WRITE, OP_FILE };

struct op {
	struct iocb iocb; /* data: the connection */
	uint8_t kind;	  /* enum op_kind; OP_FILE shares the write's op */
	bool in_flight;	  /* given to io.c, event not seen */
	bool queued;	  /* of those: in the batch, unknown to the ring */
	bool cancelled;	  /* its event is wanted sooner */
};

/* Bytes between the network and the parser: inline while small, a heap block when more is wanted. */
struct span {
	char *data;
	uint32_t len, cap;
};

#define CONN_MAGIC	0x7a10c0feu
#define CONN_INLINE	320	    /* read buffer inside an idle plain connection */
#define CONN_INLINE_TLS 1024	    /* the same under TLS: most requests are one record */
#define CONN_INPUT_MAX	(64 * 1024) /* what a service may leave unconsumed */

struct conn {
	uint32_t magic;
	uint8_t state;		/* enum conn_state */
	uint8_t why;		/* enum close_reason */
	uint8_t expired;	/* enum close_reason: a deadline has asked for the cancel that is under way */
	uint8_t deadline_class; /* enum deadline_class */
	bool eof;		/* the peer's last byte is in */
	bool closing_tls;	/* close_notify is made */
	bool read_full;		/* the last read filled its buffer: more is waiting */
	uint16_t inline_cap;
	bool stuck;    /* input waits until output is sent; no read is in flight */
	bool progress; /* the last feeding had new bytes for the service */
	uint32_t refs;
	int fd, afd;
	struct shard *shard;
	const struct endpoint *endpoint;
	LIST_ENTRY(conn) link;
	TAILQ_ENTRY(conn) deadline_link;
	uint64_t deadline_us;
	uint64_t opened_us;
	uint64_t cancel_us;	 /* when the last cancel was asked for */
	uint32_t cancel_took_us; /* from there to its completion */
	struct op rd, wr;
	struct tls *tls;
	struct span in;	   /* from the network: plain bytes, or ciphertext */
	struct span plain; /* decrypted and not consumed */
	struct outq out;
	struct span wire; /* TLS: ciphertext on its way out; data is an iobuf */
	uint32_t wire_sent;
	uint8_t *session; /* behind the struct; then the inline buffer */
	union addr peer;
	_Alignas(16) char tail[];
};

static inline void conn_check(const struct conn *c)
{
	assert(c->magic == CONN_MAGIC);
}

/*
 * On success the connection owns @fd and holds the table's reference; on failure (-ENOMEM, or what
 * taio_attach() said) @fd is still the caller's.
 */
int conn_create(struct conn **conn, struct shard *shard, const struct endpoint *endpoint, int fd,
		const union addr *peer);
void conn_get(struct conn *c);
void conn_put(struct conn *c);

/* The first reason wins. */
void conn_because(struct conn *c, enum close_reason why);

/* Room for the next read; false: no memory. *data and *len tell where it goes. */
bool conn_read_room(struct conn *c, char **data, size_t *len);

/* @n bytes arrived in the room. */
void conn_received(struct conn *c, size_t n);

/* What feeding the service (through TLS, if any) came to. */
enum fed {
	FED_MORE,   /* wants bytes from the network */
	FED_STUCK,  /* output is above its mark: go on when some is sent */
	FED_FINISH, /* the service is done: flush and close */
	FED_ABORT,  /* close at once */
	FED_EOF,    /* TLS: close_notify */
	FED_TLS,    /* TLS failed; an alert may wait in wire */
	FED_MEMORY, /* no memory, or the bound of one connection is reached */
};

/* Runs the handshake on what was received. FED_MORE, FED_TLS, or FED_FINISH when it is complete. */
enum fed conn_shake(struct conn *c);
enum fed conn_feed(struct conn *c);

/* User memory that this connection holds beyond its struct. */
size_t conn_memory(const struct conn *c);

const char *conn_why_text(enum close_reason why);

/* Borrowed blocks of IOBUF_SIZE (conn.c keeps a few). */
void *iobuf_get(struct shard *shard);
void iobuf_put(struct shard *shard, void *buf);
void iobufs_fini(struct shard *shard);

#endif
