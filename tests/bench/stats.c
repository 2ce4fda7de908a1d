/* SPDX-License-Identifier: MIT */
/* Times, and what is told of many of them. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

void samples_add(struct samples *s, uint64_t ns)
{
	if (s->len == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 1024;
		s->ns = realloc(s->ns, s->cap * sizeof(*s->ns));
		CHECK(s->ns);
	}
	s->ns[s->len++] = ns;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t samples_at(struct samples *s, double part)
{
	CHECK(s->len);
	qsort(s->ns, s->len, sizeof(*s->ns), compare);
	return s->ns[(size_t)(part * (double)(s->len - 1))];
}

void samples_free(struct samples *s)
{
	free(s->ns);
	*s = (struct samples){0};
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

long number_of(const char *text, const char *what)
{
	char *end;
	long n;

	errno = 0;
	n = text ? strtol(text, &end, 10) : -1;
	if (n < 0 || errno || *end)
		fail_at(HERE(), "%s: not a number", what);
	return n;
}
