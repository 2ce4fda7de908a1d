/* SPDX-License-Identifier: MIT */
/* The streams: eight bytes are a hash of their index and the stream's number. */
#include "tests/case/pattern.h"

static uint64_t pattern_word(uint64_t index, uint64_t seed)
{
	uint64_t x = index * 0x9e3779b97f4a7c15u + seed * 0xbf58476d1ce4e5b9u;

	x ^= x >> 29;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 32;
}

/* Byte @offset, from @word, which is kept from one byte to the next. */
static uint8_t pattern_next(uint64_t *word, uint64_t offset, uint64_t seed, bool is_first)
{
	if (is_first || !(offset & 7))
		*word = pattern_word(offset >> 3, seed);
	return (uint8_t)(*word >> (offset & 7) * 8);
}

void pattern_fill(void *buf, size_t nbytes, uint64_t offset, uint64_t seed)
{
	uint64_t word = 0;

	for (size_t i = 0; i < nbytes; i++)
		((uint8_t *)buf)[i] = pattern_next(&word, offset + i, seed, !i);
}

void pattern_check_(const void *buf, size_t nbytes, uint64_t offset, uint64_t seed)
{
	uint64_t word = 0;

	for (size_t i = 0; i < nbytes; i++)
		if (((const uint8_t *)buf)[i] != pattern_next(&word, offset + i, seed, !i))
			fail_at(THERE(), "byte %zu of stream %ju is wrong", (size_t)offset + i,
				(uintmax_t)seed);
}
