/* SPDX-License-Identifier: MIT */
/* The table of kmod_semantics_test. Cases are run by harness.c; see semantics.h. */
#include "semantics.h"

#define DEFINE(fn, links_of, flags_of)                                                                       \
	static void run_##fn(struct scene *s)                                                                \
	{                                                                                                    \
		fn(s);                                                                                       \
		scratch_close(s);                                                                            \
	}
#define ROW(fn, links_of, flags_of)                                                                          \
	{.name = #fn, .run = run_##fn, .links = LINK_##links_of, .flags = flags_of},

CASES(DEFINE)

static const struct test_case cases[] = {CASES(ROW)};

int main(int argc, char **argv)
{
	return kmod_main(argc, argv, cases, ARRAY_LEN(cases));
}
