/* SPDX-License-Identifier: MIT */
/* Chance: splitmix64. The same everywhere for the same seed. */
#include "fuzz.h"

uint64_t rng_next(struct rng *rng)
{
	uint64_t x = rng->state += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t seed_mix(uint64_t a, uint64_t b)
{
	struct rng rng = {a ^ (b * 0xd6e8feb86659fd93u)};

	return rng_next(&rng);
}

unsigned int rng_below(struct rng *rng, unsigned int bound)
{
	return (unsigned int)((rng_next(rng) >> 32) * bound >> 32);
}

bool rng_percent(struct rng *rng, unsigned int percent)
{
	return rng_below(rng, 100) < percent;
}
