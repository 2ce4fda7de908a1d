/* SPDX-License-Identifier: MIT */
/*
 * The arena: memory that only the kernel touches, while calls take its pages away and give them back. It lies
 * far below where the kernel puts mappings by itself, so that no stack lands in one of its holes.
 */
#include "fuzz.h"

#include <sys/mman.h>

#define ARENA ((char *)0x100000000000)
#define PAGE  4096u
#define PAGES (ARENA_BYTES / PAGE)

void arena_make(void)
{
	void *arena = mmap(ARENA, ARENA_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (arena != ARENA)
		fail_at(HERE(), "the arena: %m");
}

static size_t length_pick(struct rng *rng)
{
	static const size_t odd[] = {0,	    1,	     2,		 4095,	     4096,	   4097,
				     65536, 1 << 20, 0x7ffff000, 0x80000000, SIZE_MAX / 2, SIZE_MAX};

	if (rng_percent(rng, 94))
		return 1 + rng_below(rng, 6000);
	return rng_pick(rng, odd);
}

static char *address_pick(struct rng *rng)
{
	static char *const odd[] = {NULL,
				    (char *)8,
				    (char *)0xffff888000000000,
				    (char *)0x7fffffffffff,
				    ARENA + ARENA_BYTES - 1,
				    ARENA + ARENA_BYTES};

	if (rng_percent(rng, 3))
		return rng_pick(rng, odd);
	return ARENA + rng_below(rng, PAGES) * PAGE + (rng_percent(rng, 50) ? 0 : rng_below(rng, PAGE));
}

void *memory_pick(struct rng *rng, size_t *nbytes)
{
	*nbytes = length_pick(rng);
	return address_pick(rng);
}

int segments_pick(struct actor *a, unsigned int at, unsigned int max)
{
	static const int odd[] = {0, UIO_MAXIOV, UIO_MAXIOV + 1, 0x7fffffff, -1};
	int n = 1 + (int)rng_below(&a->rng, 8);

	if (rng_percent(&a->rng, 5))
		n = rng_pick(&a->rng, odd);
	if (n < 0 || (unsigned int)n > max)
		return n;
	for (int i = 0; i < n; i++)
		a->iov[at + (unsigned int)i].iov_base =
			memory_pick(&a->rng, &a->iov[at + (unsigned int)i].iov_len);
	return n;
}

static char *pages_pick(struct rng *rng, size_t *nbytes)
{
	unsigned int first = rng_below(rng, PAGES), n = 1 + rng_below(rng, 8);

	if (first + n > PAGES)
		n = PAGES - first;
	*nbytes = n * PAGE;
	return ARENA + first * PAGE;
}

CALL(munmap, 2)
{
	size_t nbytes;
	char *at = pages_pick(&a->rng, &nbytes);

	munmap(at, nbytes);
}

CALL(mmap, 4)
{
	static const int ways[] = {MAP_PRIVATE, MAP_SHARED, MAP_PRIVATE | MAP_POPULATE};
	size_t nbytes;
	char *at = pages_pick(&a->rng, &nbytes);

	mmap(at, nbytes, PROT_READ | PROT_WRITE, rng_pick(&a->rng, ways) | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* Of a file, or of a proxy, which has none. */
CALL(mmap_file, 2)
{
	size_t nbytes;
	char *at = pages_pick(&a->rng, &nbytes);

	mmap(at, nbytes, rng_percent(&a->rng, 50) ? PROT_READ : PROT_READ | PROT_WRITE,
	     (rng_percent(&a->rng, 50) ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, any_pick(&a->rng),
	     PAGE * rng_below(&a->rng, 4));
}

CALL(mprotect, 3)
{
	static const int ways[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};
	size_t nbytes;
	char *at = pages_pick(&a->rng, &nbytes);

	mprotect(at, nbytes, rng_pick(&a->rng, ways));
}

CALL(madvise, 3)
{
	static const int ways[] = {MADV_DONTNEED,   MADV_DONTNEED, MADV_FREE,
				   MADV_DONTFORK,   MADV_DOFORK,   MADV_WIPEONFORK,
				   MADV_KEEPONFORK, MADV_WILLNEED, MADV_PAGEOUT};
	size_t nbytes;
	char *at = pages_pick(&a->rng, &nbytes);

	madvise(at, nbytes, rng_pick(&a->rng, ways));
}
