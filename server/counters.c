/* SPDX-License-Identifier: MIT */
#include "counters.h"

static const struct {
	const char *name, *type, *help;
} rows[] = {
#define COUNTER_ROW(name, type, help) [COUNT_##name] = {#name, #type, help},
	COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
#define CLOSED_ROW(NAME, name, text, by_cancel)                                                              \
	[COUNT_closed_##name] = {"closed_" #name, "counter", "connections closed: " text},
		CLOSE_REASONS(CLOSED_ROW)
#undef CLOSED_ROW
};

void counters_sum(struct counters *sum, const struct counters *from)
{
	for (int i = 0; i < COUNT_MAX; i++)
		sum->v[i] += __atomic_load_n(&from->v[i], __ATOMIC_RELAXED);
}

int counters_each(const struct counters *sum, counter_row *row, void *arg)
{
	int ret = 0;

	for (int i = 0; i < COUNT_MAX && !ret; i++)
		ret = row(arg, rows[i].name, rows[i].type, rows[i].help, sum->v[i]);
	return ret;
}

static int print_row(void *out, const char *name, const char *type, const char *help, uint64_t value)
{
	const char *suffix = type[0] == 'c' ? "_total" : "";

	return outq_printf(out, "# HELP taiod_%s%s %s\n# TYPE taiod_%s%s %s\ntaiod_%s%s %llu\n", name, suffix,
			   help, name, suffix, type, name, suffix, (unsigned long long)value);
}

int counters_print(const struct counters *sum, struct outq *out)
{
	return counters_each(sum, print_row, out);
}
