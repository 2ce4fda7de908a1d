/* SPDX-License-Identifier: MIT */
/*
 * One connection from connect(2) to close(2). It has at most one read and one write in flight. While
 * established it always has a read in flight, so that a close by the server is seen at once. The slot lives
 * as long as the run and may be opened again once on_gone() has been called.
 */
#ifndef CONN_H
#define CONN_H

#include "net.h"
#include "reconnect.h"
#include "schedule.h"

struct tls_stream;
struct tls_ticket;

enum conn_state {
	CONN_NONE,	/* no socket */
	CONN_CONNECT,	/* connect(2) is under way; a poll is in flight as `wr` */
	CONN_HANDSHAKE, /* the transport's handshake */
	CONN_OPEN,	/* established */
	CONN_FINISH,	/* we have ended our direction, or are about to; waits for the peer to end its */
	CONN_DROP,	/* waits for its operations to complete, then NONE */
	CONN_NSTATES,
};

/* The request of a connection. */
enum exchange {
	EXCHANGE_NONE,
	EXCHANGE_PENDING, /* input is its response */
	/* The response is complete, but the event of the request's write is still to come: engines with
	 * threads may report the read first. */
	EXCHANGE_WRITING,
};

struct conn {
	struct net *net;
	uint8_t state;	  /* enum conn_state; written by conn.c alone */
	uint8_t exchange; /* enum exchange; likewise */
	uint8_t failure;  /* enum error_kind, set where a protocol returns STEP_FAILED */
	bool peer_closes; /* the server has announced that it closes after this response */
	bool is_reopened; /* set by the mode: what is opened on this slot is a reconnect from now on */
	bool has_failed;  /* ended by an error, and not established since */
	bool is_orderly;  /* both directions were closed in order */
	bool has_input;	  /* bytes of the response to the present request have arrived */
	int fd, afd;
	uint32_t id;
	uint32_t in_len; /* bytes of in[] that the transport has not consumed */
	char *in;	 /* net->in_cap bytes */
	const char *out; /* what `wr` still has to write */
	size_t out_left;
	struct op rd, wr;
	struct timer timer;		  /* on net->timeouts */
	TAILQ_ENTRY(conn) link;		  /* on net->drained */
	struct schedule_entry entry;	  /* for the schedule of requests; conn.c does not touch it */
	struct reconnect_entry reconnect; /* likewise, for reconnects */
	uint64_t connect_ns;		  /* just before connect(2) */
	uint64_t handshake_ns;		  /* when the handshake began */
	uint64_t open_ns;		  /* when it was established; 0: not yet */
	uint64_t nrequests;		  /* of all connections on this slot */
	uint64_t nresponses;		  /* of this connection */
	struct tls_stream *tls;		  /* sock_tls.c */
	struct tls_ticket *ticket;	  /* of the previous connection on this slot; sock_tls.c */
	void *proto_state, *mode_state;	  /* proto->conn_size and mode->conn_size bytes, zeroed once */
};

/* What connections report to the mode of the run. No callback may close the connection's socket itself. */
struct conn_callbacks {
	/* Established. */
	void (*on_open)(struct conn *conn);
	/* The response is complete. */
	void (*on_response)(struct conn *conn);
	/* The server has ended an idle connection; @err is 0 or a positive errno. Must drop it. */
	void (*on_hangup)(struct conn *conn, int err);
	/* The connection is being dropped: nothing may be begun on it any more. */
	void (*on_drop)(struct conn *conn);
	/* The slot is free: no socket, nothing in flight. */
	void (*on_gone)(struct conn *conn);
	/* Optional: a write of the connection is about to be submitted. */
	void (*on_write)(struct conn *conn, uint64_t now_ns);
	/* Optional: the first session ticket of this connection is in conn->ticket. */
	void (*on_ticket)(struct conn *conn);
	bool allows_stray; /* bytes that belong to no request are not an error */
};

void conn_init(struct conn *conn, struct net *net, uint32_t id, char *in);

/* NONE to CONNECT. Ends in on_open(), or in an error that is counted and on_gone(). */
void conn_open(struct conn *conn);

/* Sends one request; on_response() or an error follows. */
void conn_request(struct conn *conn);

/* Closes our direction, waits for the peer's end, then on_gone(). The timeout runs. */
void conn_finish(struct conn *conn);

/* Counts an error and drops the connection. @err: positive errno, or 0; @detail: or NULL. */
void conn_fail(struct conn *conn, enum error_kind kind, int err, const char *detail);

/*
 * Ends the connection without counting anything: cancels what is in flight. Once that has completed, the
 * connection joins net->drained, to be closed at the end of the turn and never within a call that still uses
 * it.
 */
void conn_drop(struct conn *conn);

/* Takes a connection off net->drained, closes its socket and calls on_gone(). */
void conn_close(struct conn *conn);

/* The result of @op, a negative errno if the ring refused it. */
void conn_event(struct op *op, long res);

/* Submits the operations of all connections. */
void conn_flush(struct net *net);

/* Drops the connections whose timeout has passed. */
void conn_expire(struct net *net);

/* Called by protocols: @data must stay until the response is complete. */
void conn_send(struct conn *conn, const char *data, size_t len);

/* Called by transports (sock.h). */
void conn_write(struct conn *conn, const char *data, size_t len); /* no write may be in flight */
void conn_established(struct conn *conn);
void conn_input(struct conn *conn, const char *data, size_t len); /* plain bytes; may drop the connection */
void conn_eof(struct conn *conn);
void conn_shutdown(struct conn *conn); /* everything is written: FIN */

static inline bool conn_is_alive(const struct conn *conn)
{
	return conn->state == CONN_HANDSHAKE || conn->state == CONN_OPEN || conn->state == CONN_FINISH;
}

/* Established, with no request under way. */
static inline bool conn_is_idle(const struct conn *conn)
{
	return conn->state == CONN_OPEN && conn->exchange == EXCHANGE_NONE;
}

#endif
