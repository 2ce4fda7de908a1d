/* SPDX-License-Identifier: MIT */
#include "times.h"

#include "outq.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *label, *help;
} rows[] = {
#define TIMES_ROW(row, name, label, help) [TIME_##row] = {#name, label, help},
	TIMES(TIMES_ROW)
#undef TIMES_ROW
};

void times_sum(struct times *sum, const struct times *from)
{
	for (int i = 0; i < TIME_MAX; i++) {
		sum[i].sum_us += __atomic_load_n(&from[i].sum_us, __ATOMIC_RELAXED);
		for (int k = 0; k < TIMES_NCOUNTS; k++)
			sum[i].counts[k] += __atomic_load_n(&from[i].counts[k], __ATOMIC_RELAXED);
	}
}

static int print_row(int i, const struct times *times, const char *labels, struct outq *out)
{
	const char *name = rows[i].name;
	uint64_t total = 0;
	int ret = 0;

	if (!i || strcmp(rows[i - 1].name, name) != 0)
		ret = outq_printf(out, "# HELP taiod_%s_seconds %s\n# TYPE taiod_%s_seconds histogram\n",
				  name, rows[i].help, name);
	for (int k = 0; k < TIMES_NCOUNTS - 1 && !ret; k++) {
		total += times->counts[k];
		ret = outq_printf(out, "taiod_%s_seconds_bucket{%s,le=\"%.6f\"} %llu\n", name, labels,
				  (double)(1ULL << k) / 1e6, (unsigned long long)total);
	}
	total += times->counts[TIMES_NCOUNTS - 1];
	if (!ret)
		ret = outq_printf(
			out,
			"taiod_%s_seconds_bucket{%s,le=\"+Inf\"} %llu\ntaiod_%s_seconds_sum{%s} %.6f\n"
			"taiod_%s_seconds_count{%s} %llu\n",
			name, labels, (unsigned long long)total, name, labels, (double)times->sum_us / 1e6,
			name, labels, (unsigned long long)total);
	return ret;
}

int times_print(const struct times *sum, const char *engine, struct outq *out)
{
	char labels[128];
	int ret = 0;

	for (int i = 0; i < TIME_MAX && !ret; i++) {
		if (*rows[i].label)
			snprintf(labels, sizeof(labels), "engine=\"%.60s\",%s=\"%s\"", engine, rows[i].name,
				 rows[i].label);
		else
			snprintf(labels, sizeof(labels), "engine=\"%.60s\"", engine);
		ret = print_row(i, &sum[i], labels, out);
	}
	return ret;
}
