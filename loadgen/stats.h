/* SPDX-License-Identifier: MIT */
/*
 * What was measured: counters, and histograms of nanoseconds. Counts of connections and errors are those of
 * the whole run; requests and latencies those of the measured interval. All zero is the start.
 */
#ifndef STATS_H
#define STATS_H

#include "base/hist.h"

#include <stdbool.h>
#include <stdint.h>

enum error_kind {
	ERROR_REFUSED,	   /* connect: ECONNREFUSED */
	ERROR_PORTS,	   /* connect: EADDRNOTAVAIL */
	ERROR_DESCRIPTORS, /* socket: EMFILE, ENFILE */
	ERROR_CONNECT,	   /* connect: anything else */
	ERROR_TLS,	   /* handshake or record layer */
	ERROR_TIMEOUT,	   /* a connect, handshake, response or close took longer than --timeout */
	ERROR_RESET,	   /* ECONNRESET, EPIPE */
	ERROR_CLOSED,	   /* the server closed when it should not have */
	ERROR_KEEPALIVE,   /* a kept connection was closed, and a request had been sent on it by then */
	ERROR_EARLY,	   /* idle: closed before the deadline */
	ERROR_NOT_CLOSED,  /* idle: still open long after the deadline */
	ERROR_MISMATCH,	   /* echo: other bytes came back */
	ERROR_UNEXPECTED,  /* bytes that belong to no response */
	ERROR_HTTP_STATUS, /* 400 and above */
	ERROR_HTTP_SYNTAX,
	ERROR_UNSENT, /* open loop: planned and never sent */
	ERROR_IO,     /* any other result of an operation */
	ERROR_KINDS,
};

/* One row per kind: its JSON key, its text in the report, and what to do about it (or NULL). */
struct error_row {
	const char *key, *text, *hint;
};
extern const struct error_row error_rows[ERROR_KINDS];

/* The kind of error of a failed connect(2), and of a failed transfer; @err is a positive errno. */
enum error_kind error_of_connect(int err);
enum error_kind error_of_transfer(int err);

struct stats {
	uint64_t attempted, established, completed;
	uint64_t reconnects;	     /* established again */
	uint64_t reconnect_failures; /* could not be; each is an error, too */
	uint64_t requests;	     /* planned in the interval, with a complete response */
	uint64_t responses;	     /* that arrived in the interval */
	uint64_t unsent;	     /* planned in the interval, never sent */
	uint64_t received, sent;     /* bytes in the interval, without TLS */
	uint64_t closed, early;	     /* idle */
	uint64_t inferred_ns; /* idle without --deadline: lateness is relative to this; 0: no lateness */
	uint64_t errors[ERROR_KINDS];
	char first_error[256]; /* one line about the first of them; empty: none */

	struct hist latency; /* open loop: from the planned time; closed loop: from the time of sending */
	struct hist raw;     /* open loop: from the time of sending */
	struct hist lag;     /* open loop: the load generator's own */
	struct hist connect, tls_full, tls_resumed;
	struct hist lateness, age; /* idle */
	struct hist second;	   /* latency in the current second; merged into latency when it is over */
};

uint64_t stats_errors(const struct stats *stats);

/* Counts @n errors, which may be 0; keeps @detail if they are the first. */
void stats_error(struct stats *stats, enum error_kind kind, uint64_t n, const char *detail);

#endif
