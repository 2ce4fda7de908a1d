/* SPDX-License-Identifier: MIT */
/*
 * A program of tests: its cases, the command line that chooses from it, and a process of its own for
 * each run of a case, under a time limit, so that a crash, a hang or a leak affects only that case. It must
 * leave no descriptor, thread or process behind.
 *
 * The program says what struct scene is and in which variants a case runs:
 *
 *	status = suite_begin(&suite, argc, argv);
 *	if (status >= 0)
 *		return status;
 *	for each case, kind of file and variant that are wanted:
 *		case_run(&run), perhaps failure_add(), case_report(&run)
 *	return suite_end();
 */
#ifndef TAIO_CASE_RUNNER_H
#define TAIO_CASE_RUNNER_H

#include "tests/case/check.h"
#include "tests/case/link.h"

#include <stdint.h>

struct scene;

typedef void case_fn(struct scene *s);

struct test_case {
	const char *name;
	case_fn *run;
	unsigned int links; /* mask of enum link_kind */
	unsigned int flags; /* the suite's */
};

/*
 * Defines a case where its body is, and puts it on the program's list: TEST_CASE(name, ON(STREAMS)) { ... }
 * with the scene in @s. The order is that of the object files, and of the lines in each.
 */
#define TEST_CASE(fn, ...)                                                                                   \
	static case_fn fn;                                                                                   \
	static const struct test_case fn##_case = {.name = #fn, .run = fn, __VA_ARGS__};                     \
	static const struct test_case *const fn##_row TEST_CASE_ROW = &fn##_case;                            \
	static void fn(struct scene *s)
#ifdef __clang__
#define TEST_CASE_ROW __attribute__((used, section("test_cases")))
#else
#define TEST_CASE_ROW __attribute__((used, no_reorder, section("test_cases")))
#endif
#define ON(mask) .links = LINK_##mask
#define AS(mask) .flags = (mask)

/* The linker's names for the ends of the list. */
extern const struct test_case *const cases_begin[] __asm__("__start_test_cases");
extern const struct test_case *const cases_end[] __asm__("__stop_test_cases");

/* An option of the command line and the one target that it sets. */
struct option_row {
	const char *name, *value; /* @value: for the usage; NULL for a flag */
	bool *flag;
	const char **text;
	long *count; /* at least 1 */
	uint64_t *number;
};

struct suite {
	const struct option_row *options; /* in addition to --case, --link, --rounds and --list */
	unsigned int noptions;
	long rounds;			 /* without --rounds */
	void (*finish)(struct scene *s); /* in the process of a case, after it */
};

/* The name of the program, and the rounds of a race. Valid after suite_begin(). */
extern const char *suite_name;
extern long suite_rounds;

/* Reads the command line; -1 if cases are to be run, else main()'s value. */
int suite_begin(const struct suite *suite, int argc, char **argv);
/* Prints the totals; returns main()'s value: 0, 1, or 77 where everything was skipped. */
int suite_end(void);

/* --case GLOB; --link, a list of kinds of file. */
bool is_case_chosen(const char *name);
bool is_kind_chosen(const struct link_name *kind);

struct run {
	const struct test_case *tc;
	struct scene *scene;
	const char *variant, *kind, *name; /* for its line of the results */
	int limit_ms;
	int64_t begin_ms; /* set by case_run() */
	bool is_skipped;  /* likewise */
};

/* Runs the case to its end, however it ends. The report says what went wrong. */
void case_run(struct run *run);
/* Prints what the report says, and counts it. */
void case_report(const struct run *run);
/* Reports a variant that cannot be run, with the reason. */
void missing_report(const char *variant, const char *why, bool is_failure);

#endif
