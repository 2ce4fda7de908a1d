/* SPDX-License-Identifier: MIT */
#include "program.h"

static void finish(struct scene *s) {}

int main(int argc, char **argv)
{
	static const struct suite suite = {.rounds = 300, .finish = finish};
	int status = suite_begin(&suite, argc, argv);

	if (status >= 0)
		return status;
	for (const struct test_case *const *tc = cases_begin; tc < cases_end; tc++) {
		struct run run = {.tc = *tc,
				  .variant = is_preloaded() ? "preloaded" : "stock",
				  .kind = "-",
				  .name = (*tc)->name,
				  .limit_ms = 120000};

		if (!is_case_chosen(run.name))
			continue;
		case_run(&run);
		case_report(&run);
	}
	return suite_end();
}
