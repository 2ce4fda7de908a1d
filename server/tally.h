/* SPDX-License-Identifier: MIT */
/*
 * What is counted for each listener, and for each backend of its proxy, for /metrics.
 *
 * A tally is one worker's: that alone counts in it, with single-word relaxed stores, and holds all
 * references. They come and go with reloads, and with the last connection of what a reload has dropped, while
 * other threads read them. So those of a worker are in a book, whose lock is held while one is put in or
 * taken out, and while they are read; counting takes no lock.
 *
 * Who opens one that is there gets that one: what stays over a reload goes on counting where it was.
 */
#ifndef TALLY_H
#define TALLY_H

#include "outq.h"
#include "reason.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum tally_kind { TALLY_LISTENER, TALLY_BACKEND, TALLY_NKINDS };

enum {
	OF_LISTENER = 1 << TALLY_LISTENER,
	OF_BACKEND = 1 << TALLY_BACKEND,
	OF_BOTH = OF_LISTENER | OF_BACKEND
};

/*
 * One row each: whose it is, the name in /metrics (behind taiod_listener_ or taiod_backend_), a label that
 * tells it from others of that name, which are its neighbours, its type, and the help of the name. Each close
 * reason (reason.h) adds a row closed_NAME.
 */
#define TALLY_ROWS(X)                                                                                        \
	X(accepted, OF_LISTENER, accepted, "", counter, "connections accepted")                              \
	X(connects, OF_BACKEND, connects, "", counter, "connections made, before a TLS handshake")           \
	X(failures, OF_BACKEND, failures, "", counter,                                                       \
	  "connections that could not be made, with their TLS handshake")                                    \
	X(active, OF_BOTH, active, "", gauge, "connections open now, those being made included")             \
	X(refused_full, OF_LISTENER, refused, "reason=\"full\"", counter,                                    \
	  "connections refused for want of room, or because of max-per-address")                             \
	X(refused_address, OF_LISTENER, refused, "reason=\"address\"", counter, "")                          \
	X(rate_limited, OF_LISTENER, rate_limited, "", counter,                                              \
	  "pauses in accepting because of accept-rate")                                                      \
	X(bytes_in, OF_BOTH, bytes_in, "", counter, "bytes read from the network")                           \
	X(bytes_out, OF_BOTH, bytes_out, "", counter, "bytes written to the network")                        \
	X(tls_handshakes, OF_BOTH, tls_handshakes, "", counter, "TLS handshakes completed")                  \
	X(tls_resumed, OF_BOTH, tls_resumptions, "", counter,                                                \
	  "TLS handshakes completed by resuming a session")                                                  \
	X(tls_failed, OF_BOTH, tls_failed, "", counter, "TLS handshakes or records refused")                 \
	X(requests, OF_LISTENER, requests, "", counter, "requests received")                                 \
	X(responses_2xx, OF_LISTENER, responses, "class=\"2xx\"", counter, "responses by class of status")   \
	X(responses_3xx, OF_LISTENER, responses, "class=\"3xx\"", counter, "")                               \
	X(responses_4xx, OF_LISTENER, responses, "class=\"4xx\"", counter, "")                               \
	X(responses_5xx, OF_LISTENER, responses, "class=\"5xx\"", counter, "")                               \
	X(checks, OF_BACKEND, checks, "", counter, "checks completed")                                       \
	X(checks_failed, OF_BACKEND, checks_failed, "", counter, "checks that found it down")                \
	X(up, OF_BACKEND, state, "state=\"up\"", gauge, "workers that find the backend in this state")       \
	X(resting, OF_BACKEND, state, "state=\"resting\"", gauge, "")                                        \
	X(down, OF_BACKEND, state, "state=\"down\"", gauge, "")

enum tally_row {
#define TALLY_ENUM(row, kinds, name, label, type, help) TALLY_##row,
	TALLY_ROWS(TALLY_ENUM)
#undef TALLY_ENUM
#define TALLY_CLOSED_ENUM(NAME, name, text, by_cancel) TALLY_closed_##name,
		CLOSE_REASONS(TALLY_CLOSED_ENUM)
#undef TALLY_CLOSED_ENUM
			TALLY_NROWS,
	/* Of a backend; from the last three whoever reads makes up, resting and down. */
	TALLY_connect_us = TALLY_NROWS, /* that the connects took */
	TALLY_nroutes,			/* that lead to it; 0: it is in no state any more */
	TALLY_ndown,			/* not 0: its last check has failed */
	TALLY_rests_until_us,		/* a time of clock_us() */
	TALLY_MAX
};

struct tally;
TAILQ_HEAD(tallies, tally);

struct tally_book {
	pthread_mutex_t lock;
	struct tallies tallies; /* in the order in which they came */
	unsigned int n[TALLY_NKINDS];
};

struct tally {
	TAILQ_ENTRY(tally) link;
	struct tally_book *book;
	enum tally_kind kind;
	unsigned int refs;   /* the worker's */
	size_t listener_len; /* of the first label */
	uint64_t v[TALLY_MAX];
	char labels[]; /* as in /metrics: listener="127.0.0.1:443",service="proxy" */
};

/*
 * Those of one kind that a book has room for under names of their own; what comes then is counted under the
 * name "others", so that /metrics does not grow without bound.
 */
#define TALLIES_MAX 1024

void tally_book_init(struct tally_book *book);
/* Nothing may be left in it. */
void tally_book_fini(struct tally_book *book);

/* The tally of a listener and its service. 0, or -ENOMEM; the reference is the caller's. */
int tally_open(struct tally **tally, struct tally_book *book, const char *listener, const char *service);
/* That of a backend to which @listener leads. NULL for @listener gives NULL. */
int tally_open_backend(struct tally **tally, const struct tally *listener, const char *backend);

/* NULL is allowed. The last reference takes it out of the book. */
struct tally *tally_get(struct tally *tally);
void tally_put(struct tally *tally);

/* NULL is allowed in these three: nobody counts. */
static inline void tally_set(struct tally *tally, enum tally_row row, uint64_t n)
{
	if (tally)
		__atomic_store_n(&tally->v[row], n, __ATOMIC_RELAXED);
}

static inline void tally_add(struct tally *tally, enum tally_row row, int64_t n)
{
	if (tally)
		tally_set(tally, row, tally->v[row] + (uint64_t)n);
}

#define tally_count(tally, name) tally_add(tally, TALLY_##name, 1)

/* --- readers: any thread --- */

/* The sums over several books. All zero is an empty sheet. */
struct tally_sheet {
	struct tally_sum *sums;
	unsigned int n, room;
	unsigned int next; /* where the next is expected: the books of all workers have one order */
};

/* Adds what is in @book at @now_us. 0 or -ENOMEM. */
int tally_sheet_add(struct tally_sheet *sheet, struct tally_book *book, uint64_t now_us);
/* Appends the sheet in Prometheus' text format. 0 or -ENOMEM. */
int tally_sheet_print(const struct tally_sheet *sheet, struct outq *out);
void tally_sheet_free(struct tally_sheet *sheet);

#endif
