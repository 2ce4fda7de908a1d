/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "tls/tls.h"

#include <malloc.h>

/* Of all workers. Differences are added, so these may wrap in between, and are right again. */
static uint64_t all_used, all_conns;
static uint64_t base; /* written before the workers run */

void memory_measure(void)
{
	struct mallinfo2 info = mallinfo2();
	uint64_t used = (uint64_t)info.uordblks + info.hblkhd, tls = tls_memory();

	base = used > tls ? used - tls : 0;
}

uint64_t memory_base(void)
{
	return base;
}

static void move(uint64_t *sum, uint64_t *told, uint64_t now)
{
	if (*told == now)
		return;
	__atomic_fetch_add(sum, now - *told, __ATOMIC_RELAXED);
	*told = now;
}

void memory_tell(struct memory_part *part, uint64_t used, uint64_t nconns)
{
	move(&all_used, &part->used, used);
	move(&all_conns, &part->nconns, nconns);
}

uint64_t memory_total(const struct memory_part *part, uint64_t used)
{
	return base + tls_memory() + __atomic_load_n(&all_used, __ATOMIC_RELAXED) - part->used + used;
}

uint64_t memory_nconns(void)
{
	uint64_t n = __atomic_load_n(&all_conns, __ATOMIC_RELAXED);

	return n ? n : 1;
}
