/* SPDX-License-Identifier: MIT */
/*
 * One connection from connect(2) to close(2). At most one read and one write of it are in flight; a read
 * always is while it is established, so that a close by the server is seen at once. Its slot lives as long as
 * the run and may be opened again when its mode's on_gone() was told. Loop thread only.
 */
#ifndef CONN_H
#define CONN_H

#include "http_response.h"
#include "stats.h"
#include "timers.h"

#include <libaio.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct run;
struct tls_sock;
struct tls_ticket;

enum conn_state {
	CONN_NONE,    /* no socket */
	CONN_CONNECT, /* connect(2) is under way; a poll is in flight as `wr` */
	CONN_SHAKE,   /* the transport's handshake */
	CONN_OPEN,    /* established */
	CONN_FINISH,  /* our end is sent, or on its way; waits for the peer's */
	CONN_DROP,    /* waits for its operations to come back, then NONE */
	CONN_NSTATES,
};

struct conn {
	struct run *run;
	uint8_t state;	       /* enum conn_state; written by conn.c alone */
	uint8_t bad;	       /* enum error_kind, of an ANSWER_BAD */
	bool reading, writing; /* rd, wr are in the batch or the ring */
	bool busy;	       /* a request is outstanding: input is its answer */
	bool answered; /* the answer is complete, but the event of the request's write is still to come */
	bool begun;    /* run_begin() without run_end() or run_abort() yet */
	bool reopen;   /* the server has announced to close */
	bool again;    /* opened again after `reopen`: counted already */
	bool is_ready; /* on run->ready */
	bool orderly;  /* both ends were closed in order */
	int fd, afd;
	uint32_t id;
	uint32_t in_len; /* bytes of in[] that the transport has not consumed */
	char *in;	 /* run->in_cap bytes */
	const char *out; /* what `wr` has still to write */
	size_t out_left;
	struct iocb rd, wr;
	struct timer timer;
	TAILQ_ENTRY(conn) link;	      /* on run->ready or run->gone */
	uint64_t ready_ns;	      /* since when it could have begun the next thing */
	uint64_t carry_ns;	      /* run.c: what the last request was late by our own fault */
	uint64_t planned_ns, sent_ns; /* of the request or cycle that is begun */
	uint64_t mark_ns;	      /* when the connect, then the handshake began */
	uint64_t ref_ns;	      /* idle: connect or last write, whichever is later */
	uint64_t age_ns;	      /* idle: from there to an orderly close by the server; 0: none */
	uint64_t nrequests;
	struct tls_sock *tls;
	struct tls_ticket *ticket; /* churn: of the connection before */
	union {
		struct http_answer http;
		struct {
			uint32_t window, got;
		} echo;
	};
};

void conn_init(struct conn *conn, struct run *run, uint32_t id, char *in);

/* NONE to CONNECT. Ends in the mode's on_open(), or in an error that is counted and on_gone(). */
void conn_open(struct conn *conn);

/* Asks one request; the mode's on_answer() or an error follows. */
void conn_request(struct conn *conn);

/* Closes our direction, waits for the peer's end, then on_gone(). The timeout runs. */
void conn_finish(struct conn *conn);

/* Counts an error and drops the connection. @err: positive errno, or 0. */
void conn_fail(struct conn *conn, enum error_kind kind, int err, const char *detail);

/*
 * Ends the connection without counting anything: cancels what is in flight. When that is back the connection
 * goes to run->gone; it is buried at the end of the turn, never under the feet of who called.
 */
void conn_drop(struct conn *conn);

/* A completion of conn->rd or conn->wr. */
void conn_event(struct conn *conn, const struct iocb *iocb, long res);

void conn_timeout(struct conn *conn);

/* Closes the socket of a connection on run->gone and tells the mode. */
void conn_bury(struct conn *conn);

/* What protocols call: @data must stay until the answer is complete. */
void conn_send(struct conn *conn, const char *data, size_t len);

/* What transports (sock.h) call. */
void conn_write(struct conn *conn, const char *data, size_t len); /* no write may be in flight */
void conn_established(struct conn *conn);
void conn_input(struct conn *conn, const char *data, size_t len); /* plain bytes; may end the connection */
void conn_eof(struct conn *conn);
void conn_shutdown(struct conn *conn); /* everything is written: FIN */

static inline bool conn_is_alive(const struct conn *conn)
{
	return conn->state == CONN_SHAKE || conn->state == CONN_OPEN || conn->state == CONN_FINISH;
}

#endif
