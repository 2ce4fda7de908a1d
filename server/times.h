/* SPDX-License-Identifier: MIT */
/*
 * How long things took, one row each, for histograms in /metrics: the name, the label that tells it from
 * others of that name, and the help of the name. Durations are counted by powers of two of a microsecond.
 * Only the worker writes its times, with single-word relaxed stores; any thread may read them.
 */
#ifndef TIMES_H
#define TIMES_H

#include <stdint.h>

struct outq;

#define OPERATION_HELP                                                                                       \
	"time from the start of an operation to its event, to a turn of the loop; of reads it is the peer's"

/* Those of one name are neighbours. */
#define TIMES(X)                                                                                             \
	X(submit, submit, "",                                                                                \
	  "time inside io_submit for a batch of operations, or what the engine has instead")                 \
	X(cancel, cancel, "", "time from the request to cancel an operation to its event")                   \
	X(lateness, deadline_lateness, "", "time from a deadline to the request to cancel what waits")       \
	X(read, operation, "read", OPERATION_HELP)                                                           \
	X(write, operation, "write", OPERATION_HELP)                                                         \
	X(connect, operation, "connect", OPERATION_HELP)                                                     \
	X(room, operation, "poll", OPERATION_HELP)                                                           \
	X(file, operation, "file-read", OPERATION_HELP)

enum time_of {
#define TIMES_ENUM(row, name, label, help) TIME_##row,
	TIMES(TIMES_ENUM)
#undef TIMES_ENUM
		TIME_MAX
};

/* counts[k]: below 2^k us and not below the half of that; the last one has all that is longer. */
#define TIMES_NCOUNTS 31

struct times {
	uint64_t sum_us;
	uint64_t counts[TIMES_NCOUNTS];
};

static inline void times_bump(uint64_t *value, uint64_t by)
{
	__atomic_store_n(value, *value + by, __ATOMIC_RELAXED);
}

static inline void times_add(struct times *times, uint64_t us)
{
	unsigned int k = us ? 64 - (unsigned int)__builtin_clzll(us) : 0;

	times_bump(&times->sum_us, us);
	times_bump(&times->counts[k < TIMES_NCOUNTS ? k : TIMES_NCOUNTS - 1], 1);
}

/* Adds @from, which its worker may be writing, to @sum; both have TIME_MAX rows. */
void times_sum(struct times *sum, const struct times *from);

/* Appends all rows of @sum in Prometheus' text format, with the label engine. 0 or -ENOMEM. */
int times_print(const struct times *sum, const char *engine, struct outq *out);

#endif
