/* SPDX-License-Identifier: MIT */
/*
 * What a worker counts, one row each: the /metrics name, its type and its help come from here. A worker
 * writes its own, everybody may read: single-word relaxed stores.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include "service.h"

#include <stdint.h>

#define COUNTERS(X)                                                                                          \
	X(accepted, counter, "connections accepted")                                                         \
	X(active, gauge, "connections open now")                                                             \
	X(refused_full, counter, "connections refused because the table was full")                           \
	X(evicted, counter, "idle connections closed to make room")                                          \
	X(accept_errors, counter, "accept failures, EMFILE among them")                                      \
	X(emfile, counter, "accept failures for want of a file descriptor")                                  \
	X(bytes_in, counter, "bytes read from the network")                                                  \
	X(bytes_out, counter, "bytes written to the network")                                                \
	X(reads, counter, "read operations completed")                                                       \
	X(writes, counter, "write operations completed")                                                     \
	X(file_reads, counter, "file read operations completed")                                             \
	X(cancels, counter, "operations cancelled")                                                          \
	X(cancel_raced, counter, "cancels that lost against data")                                           \
	X(ring_full, counter, "operations that had to wait for room in the ring")                            \
	X(submits, counter, "batches given to the ring")                                                     \
	X(tls_handshakes, counter, "TLS handshakes finished")                                                \
	X(tls_resumed, counter, "of those, resumed sessions")                                                \
	X(tls_failed, counter, "TLS handshakes or records refused")                                          \
	X(closed_peer, counter, "connections ended by the peer")                                             \
	X(closed_done, counter, "connections ended by the service")                                          \
	X(closed_handshake, counter, "connections ended by the handshake timeout")                           \
	X(closed_header, counter, "connections ended by the header timeout")                                 \
	X(closed_idle, counter, "connections ended by the idle timeout")                                     \
	X(closed_write, counter, "connections ended by the write timeout")                                   \
	X(closed_linger, counter, "connections whose peer did not close in time")                            \
	X(closed_drain, counter, "connections ended because the server stopped")                             \
	X(closed_evicted, counter, "connections ended to make room")                                         \
	X(closed_tls, counter, "connections ended by a TLS error")                                           \
	X(closed_reset, counter, "connections reset by the peer")                                            \
	X(closed_error, counter, "connections ended by a local error")                                       \
	X(closed_memory, counter, "connections ended by the memory bound")

enum counter {
#define COUNTER_ENUM(name, type, help) COUNT_##name,
	COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
		COUNT_MAX
};

struct counters {
	uint64_t v[COUNT_MAX];
	struct service_counters service;
};

static inline void count_add(struct counters *c, enum counter which, int64_t n)
{
	__atomic_store_n(&c->v[which], c->v[which] + (uint64_t)n, __ATOMIC_RELAXED);
}

#define count(counters, name)	    count_add(counters, COUNT_##name, 1)
#define count_by(counters, name, n) count_add(counters, COUNT_##name, (int64_t)(n))

/* Adds @from, which its worker may be writing, to @sum. */
void counters_sum(struct counters *sum, const struct counters *from);

/* Calls @row for each counter in order; stops at the first error and returns it. */
typedef int counter_row(void *arg, const char *name, const char *type, const char *help, uint64_t value);
int counters_each(const struct counters *sum, counter_row *row, void *arg);

/* Prometheus text format, version 0.0.4. 0 or -ENOMEM. */
int counters_print(const struct counters *sum, struct outq *out);

#endif
