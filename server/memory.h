/* SPDX-License-Identifier: MIT */
/*
 * What max-memory bounds: the memory that the process has allocated. It is known without looking: each worker
 * tells after each turn what its connections take, OpenSSL's memory is counted as it is allocated
 * (tls_memory()), and what is there before any connection is measured once.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

/* What a worker has told last; all zero: nothing. */
struct memory_part {
	uint64_t used; /* bytes */
	uint64_t nconns;
};

/* Measures what there is before any connection (mallinfo2(3)). Before the workers run. */
void memory_measure(void);
/* In bytes, without OpenSSL's. */
uint64_t memory_base(void);

/* Tells what @part's worker takes now, OpenSSL's memory aside. That worker's thread. */
void memory_tell(struct memory_part *part, uint64_t used, uint64_t nconns);

/* All that the process takes, if @part's worker takes @used now: the others as they told last. */
uint64_t memory_total(const struct memory_part *part, uint64_t used);
/* Connections of all workers, as they told last; at least 1. */
uint64_t memory_nconns(void);

#endif
