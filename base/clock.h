/* SPDX-License-Identifier: MIT */
/* CLOCK_MONOTONIC, in nanoseconds, microseconds or milliseconds. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS  1000000ull
#define NS_PER_US  1000ull

/* A time that never comes. */
#define NEVER_NS UINT64_MAX

static inline uint64_t timespec_ns(const struct timespec *ts)
{
	return (uint64_t)ts->tv_sec * NS_PER_SEC + (uint64_t)ts->tv_nsec;
}

static inline uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return timespec_ns(&ts);
}

static inline uint64_t clock_us(void)
{
	return clock_ns() / NS_PER_US;
}

static inline uint64_t clock_ms(void)
{
	return clock_ns() / NS_PER_MS;
}

#endif
