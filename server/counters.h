/* SPDX-License-Identifier: MIT */
/*
 * A worker's counters, one row each: the name in /metrics, its type and its help. Each close reason
 * (reason.h) adds a row closed_NAME. Only the worker writes its counters, with single-word relaxed stores;
 * any thread may read them.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include "outq.h"
#include "reason.h"

#include <stdint.h>

#define COUNTERS(X)                                                                                          \
	X(accepted, counter, "connections accepted")                                                         \
	X(active, gauge, "connections open now")                                                             \
	X(refused_full, counter, "connections refused because the table was full")                           \
	X(refused_address, counter, "connections refused because of max-per-address")                        \
	X(memory, gauge, "bytes that connections take, with their buffers")                                  \
	X(memory_kept, gauge, "bytes of free buffers, kept for connections")                                 \
	X(memory_tls, gauge, "bytes that OpenSSL takes")                                                     \
	X(memory_base, gauge, "bytes taken before the first connection, OpenSSL's aside")                    \
	X(memory_full, counter, "times that max-memory left no room for another connection")                 \
	X(rate_limited, counter, "pauses in accepting because of accept-rate")                               \
	X(evicted, counter, "idle connections closed to make room")                                          \
	X(accept_errors, counter, "accept failures, EMFILE among them")                                      \
	X(emfile, counter, "accept failures due to the descriptor limit")                                    \
	X(bytes_in, counter, "bytes read from the network")                                                  \
	X(bytes_out, counter, "bytes written to the network")                                                \
	X(reads, counter, "read operations completed")                                                       \
	X(writes, counter, "write operations completed")                                                     \
	X(connects, counter, "connects to backends completed")                                               \
	X(file_reads, counter, "file read operations completed")                                             \
	X(cancels, counter, "operations cancelled")                                                          \
	X(cancel_raced, counter, "cancels that lost the race against data")                                  \
	X(backend_failed, counter, "connections to backends that could not be made")                         \
	X(backend_tls_resumed, counter, "TLS handshakes with backends completed by resuming a session")      \
	X(backend_none, counter, "connections for which there was no backend, or none left")                 \
	X(checks, counter, "checks of backends completed")                                                   \
	X(checks_failed, counter, "checks of backends that found them down")                                 \
	X(backends_down, gauge,                                                                              \
	  "backends found down by their last check, once for each worker and listener")                      \
	X(hello_refused, counter, "connections to be routed by SNI that began with no valid ClientHello")    \
	X(ring_full, counter, "batches that the ring had no room for")                                       \
	X(ring_slots, gauge, "slots of fs.aio-max-nr that the rings have taken")                             \
	X(submits, counter, "batches submitted to the ring")                                                 \
	X(proxy_headers, counter, "PROXY protocol headers accepted")                                         \
	X(proxy_bad, counter, "PROXY protocol headers that were malformed, or late, or cut short")           \
	X(tls_handshakes, counter, "TLS handshakes completed")                                               \
	X(tls_handshakes_waiting, gauge, "TLS handshakes that a thread is at, or that wait for one")         \
	X(tls_steps_off_loop, counter, "steps of TLS handshakes that threads have carried out")              \
	X(tls_resumed, counter, "TLS handshakes completed by resuming a session")                            \
	X(tls_client_refused, counter, "clients refused for their certificate, or for having none")          \
	X(tls_kernel, counter, "TLS connections given to the kernel")                                        \
	X(tls_failed, counter, "TLS handshakes or records refused")                                          \
	X(requests, counter, "requests received")                                                            \
	X(responses_2xx, counter, "responses with status 2xx")                                               \
	X(responses_3xx, counter, "responses with status 3xx")                                               \
	X(responses_4xx, counter, "responses with status 4xx")                                               \
	X(responses_5xx, counter, "responses with status 5xx")                                               \
	X(bad_requests, counter, "requests refused as malformed")                                            \
	X(smuggling, counter, "malformed requests of a form used for request smuggling")                     \
	X(header_too_big, counter, "requests refused for the size of their header")                          \
	X(path_escapes, counter, "requests whose path led out of the root")                                  \
	X(slow_requests, counter, "requests that took too long, or whose body came too slowly")              \
	X(access_log_lines, counter, "lines written to the access log")                                      \
	X(access_log_lost, counter, "lines of the access log that were lost")

enum counter {
#define COUNTER_ENUM(name, type, help) COUNT_##name,
	COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
#define CLOSED_ENUM(NAME, name, text, by_cancel) COUNT_closed_##name,
		CLOSE_REASONS(CLOSED_ENUM)
#undef CLOSED_ENUM
			COUNT_MAX
};

struct counters {
	uint64_t v[COUNT_MAX];
};

static inline void count_add(struct counters *c, enum counter which, int64_t n)
{
	__atomic_store_n(&c->v[which], c->v[which] + (uint64_t)n, __ATOMIC_RELAXED);
}

/* Of a gauge. */
static inline void count_set(struct counters *c, enum counter which, uint64_t n)
{
	__atomic_store_n(&c->v[which], n, __ATOMIC_RELAXED);
}

#define count(counters, name)	    count_add(counters, COUNT_##name, 1)
#define count_by(counters, name, n) count_add(counters, COUNT_##name, (int64_t)(n))

/* Adds @from, which its worker may be writing, to @sum. */
void counters_sum(struct counters *sum, const struct counters *from);

/* Calls @row for each counter in order; stops at the first nonzero result and returns it. */
typedef int counter_row(void *arg, const char *name, const char *type, const char *help, uint64_t value);
int counters_each(const struct counters *sum, counter_row *row, void *arg);

/* Prometheus text format, version 0.0.4. 0 or -ENOMEM. */
int counters_print(const struct counters *sum, struct outq *out);

#endif
