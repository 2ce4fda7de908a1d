/* SPDX-License-Identifier: MIT */
#include "tls.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

/* How far a thread may be ahead of the sum, so that threads do not contend for it with each allocation. */
#define AHEAD_MAX (16 * 1024)

static atomic_long total;
static _Thread_local long ahead;

static void charge(long n)
{
	ahead += n;
	if (ahead < AHEAD_MAX && ahead > -AHEAD_MAX)
		return;
	atomic_fetch_add_explicit(&total, ahead, memory_order_relaxed);
	ahead = 0;
}

/* As OpenSSL's own: nothing is allocated for no bytes (CRYPTO_malloc(3)). */
static void *count_malloc(size_t n, const char *file, int line)
{
	void *p = n ? malloc(n) : NULL;

	charge((long)malloc_usable_size(p));
	return p;
}

static void count_free(void *p, const char *file, int line)
{
	charge(-(long)malloc_usable_size(p));
	free(p);
}

static void *count_realloc(void *p, size_t n, const char *file, int line)
{
	size_t before = malloc_usable_size(p);
	void *moved;

	if (!p)
		return count_malloc(n, file, line);
	if (!n) {
		count_free(p, file, line);
		return NULL;
	}
	moved = realloc(p, n);
	if (moved)
		charge((long)malloc_usable_size(moved) - (long)before);
	return moved;
}

bool tls_memory_count(void)
{
	return CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) == 1;
}

size_t tls_memory(void)
{
	long n = atomic_load_explicit(&total, memory_order_relaxed);

	return n > 0 ? (size_t)n : 0;
}
