/* SPDX-License-Identifier: MIT */
/*
 * Checks, and the report that they leave. CHECK and its relatives end the process; nothing is unwound after a
 * failure. They may be used from any thread and in children of a case.
 *
 * A function that checks for its caller is called name_() and wrapped in a macro name() that sets HERE(); it
 * fails at THERE(), the line of the case.
 */
#ifndef TAIO_CASE_CHECK_H
#define TAIO_CASE_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define EXIT_SKIP 77

struct place {
	const char *file;
	int line;
};

/* In memory that the runner shares with the process of a case and its children. */
struct report {
	_Atomic(const struct place *) at; /* the last line of the case that was begun */
	atomic_flag failed;		  /* the first failure speaks */
	char failure[512];
	char note[200];
};

extern struct report *report;

/* False, with errno set, if there is no memory. */
bool report_make(void);

/* Ends the process. The format may use %m for errno. */
_Noreturn void fail_at(const struct place *place, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* One line printed beside the result. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the case: it cannot be run here, for the reason given. */
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* For the runner: adds one more thing that went wrong, with the last place. */
void failure_add(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define HERE()                                                                                               \
	({                                                                                                   \
		static const struct place here_ = {__FILE__, __LINE__};                                      \
		atomic_store_explicit(&report->at, &here_, memory_order_relaxed);                            \
		&here_;                                                                                      \
	})

/* Where the caller was called. */
#define THERE() atomic_load(&report->at)

#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		const struct place *place_ = HERE();                                                         \
		if (!(condition))                                                                            \
			fail_at(place_, "%s", #condition);                                                   \
	} while (0)

#define CHECK_EQ(got, want)                                                                                  \
	do {                                                                                                 \
		const struct place *place_ = HERE();                                                         \
		long got_ = (long)(got), want_ = (long)(want);                                               \
		if (got_ != want_)                                                                           \
			fail_at(place_, "%s is %ld, not %s = %ld", #got, got_, #want, want_);                \
	} while (0)

/* For calls that return -1 and set errno; gives their value. */
#define SYS(call)                                                                                            \
	({                                                                                                   \
		const struct place *place_ = HERE();                                                         \
		long ret_ = (long)(call);                                                                    \
		if (ret_ < 0)                                                                                \
			fail_at(place_, "%s: %m", #call);                                                    \
		(int)ret_;                                                                                   \
	})

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
